//! What is measured, before anybody has written it down: families of samples.

use super::latency::Histogram;

/// A metric, with what was read of it.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One reading.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    /// Of time, in nanoseconds; it is told in seconds.
    Time(u128),
    Times(Histogram),
}

impl Family {
    /// One without samples yet.
    pub(super) fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    /// One with a single sample, and no labels.
    pub(super) fn single(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        number: usize,
    ) -> Self {
        let value = Value::from(number);
        Self { samples: vec![Sample { labels: Vec::new(), value }], ..Self::new(name, kind, help) }
    }

    /// Adds a sample.
    pub(super) fn push<const N: usize>(
        &mut self,
        labels: [(&'static str, &str); N],
        value: impl Into<Value>,
    ) {
        let labels = labels.into_iter().map(|(label, text)| (label, text.to_owned())).collect();
        self.samples.push(Sample { labels, value: value.into() });
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}
