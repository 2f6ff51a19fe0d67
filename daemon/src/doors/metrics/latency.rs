//! How long calls take until their answer begins, by method: of one that streams, until the stream is open.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tonic::codegen::{Service, http};
use tower_layer::Layer;

use super::Metrics;
use crate::clock;

/// The upper bounds of the buckets, in microseconds.
pub(super) const BOUNDS: [u64; 13] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000,
    10_000_000,
];
/// So many methods are told apart: more than there are, and what clients make up is one more.
const METHODS: usize = 64;
const OTHER: &str = "other";

/// Of all methods.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Mutex<BTreeMap<String, Histogram>>);

/// Of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    /// How many took at most as long as each bound.
    pub(super) at_most: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) sum: Duration,
}

impl Latencies {
    fn add(&self, method: &str, took: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let method = if all.len() < METHODS || all.contains_key(method) { method } else { OTHER };
        let histogram = match all.get_mut(method) {
            Some(known) => known,
            None => all.entry(method.to_owned()).or_default(),
        };
        for (count, bound) in histogram.at_most.iter_mut().zip(BOUNDS) {
            *count += u64::from(took <= Duration::from_micros(bound));
        }
        histogram.count += 1;
        histogram.sum = histogram.sum.saturating_add(took);
    }

    /// Those that were called.
    pub(super) fn all(&self) -> BTreeMap<String, Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes the time of calls, where somebody wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Timing(pub(crate) Option<Arc<Metrics>>);

impl<S> Layer<S> for Timing {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, metrics: self.0.clone() }
    }
}

/// A service whose calls are timed.
#[derive(Clone, Debug)]
pub(crate) struct Timed<S> {
    inner: S,
    metrics: Option<Arc<Metrics>>,
}

impl<S, B> Service<http::Request<B>> for Timed<S>
where
    S: Service<http::Request<B>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let Some(metrics) = self.metrics.clone() else {
            return Box::pin(self.inner.call(request));
        };
        let (method, begun) = (request.uri().path().to_owned(), clock::now().monotonic);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.latencies.add(&method, clock::now().monotonic.saturating_sub(begun));
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_make_up_has_a_bound() {
        let latencies = Latencies::default();
        for number in 0..200 {
            latencies.add(&format!("/made.Up/{number}"), Duration::from_micros(number * 10));
        }
        let all = latencies.all();
        assert_eq!(all.len(), METHODS + 1);
        assert_eq!(all.values().map(|it| it.count).sum::<u64>(), 200);
        let other = &all[OTHER];
        assert_eq!((other.count, other.at_most[0], other.at_most[4]), (136, 0, 136));
    }
}
