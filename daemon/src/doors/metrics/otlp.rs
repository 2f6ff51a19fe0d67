//! Metrics for a collector of OpenTelemetry's: the same families as Prometheus gets, sent by OTLP over gRPC every interval.
//!
//! Built with the Cargo feature `opentelemetry` only. What cannot be sent is not kept: the next measuring has all that
//! counts, and a collector that is away is a problem in Status until it is there again.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::{Channel, Endpoint};

use super::{
    Metrics,
    family::{Family, Kind, Sample, Value},
    latency::BOUNDS,
    measure,
};
use crate::{clock, configuration::Export, doors::Core};

/// A collector that takes longer for a connection or an answer is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends metrics as long as there is a daemon.
pub(super) async fn send(core: &Core, metrics: &Metrics, export: &Export) {
    let channel = match Endpoint::from_shared(export.endpoint.clone()) {
        Ok(endpoint) => endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy(),
        // The configuration has looked at it.
        Err(why) => return metrics.unsent.set(format!("{}: {why}", export.endpoint)),
    };
    let mut collector = MetricsServiceClient::new(channel);
    let mut ticks = interval(export.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let problem = send_once(core, metrics, &mut collector).await.err().map(|why| {
            format!(
                "cannot send metrics to the collector at {}: {why}; start it, or change [opentelemetry] endpoint",
                export.endpoint
            )
        });
        match problem {
            Some(problem) => metrics.unsent.set(problem),
            None => metrics.unsent.clear(),
        }
    }
}

async fn send_once(
    core: &Core,
    metrics: &Metrics,
    collector: &mut MetricsServiceClient<Channel>,
) -> Result<(), String> {
    let families = measure::measure(core, metrics).await;
    let request = request(families, &core.identity.node, clock::wall());
    let answer = collector.export(request).await;
    let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
    match answer.partial_success {
        Some(partial) if partial.rejected_data_points > 0 => {
            let (count, why) = (partial.rejected_data_points, partial.error_message);
            Err(format!("it refused {count} of them: {why}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// All of it, as of this time in nanoseconds since 1970.
fn request(families: Vec<Family>, node: &str, time: u64) -> ExportMetricsServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let attributes =
        [("service.name", "auraed"), ("service.version", version), ("host.name", node)];
    let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value.to_owned()));
    let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
    let scope = InstrumentationScope {
        name: "auraed".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = families.into_iter().map(|family| metric(family, time)).collect();
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let all = ResourceMetrics { resource: Some(resource), scope_metrics, ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![all] }
}

fn metric(Family { name, kind, help, samples }: Family, time: u64) -> Metric {
    let numbers = |samples: Vec<Sample>| samples.into_iter().filter_map(|it| number(it, time));
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data = match kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers(samples).collect() }),
        Kind::Counter => {
            let data_points = numbers(samples).collect();
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
        }
        Kind::Histogram => {
            let data_points = samples.into_iter().filter_map(|it| histogram(it, time)).collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }
    };
    let unit =
        [("_seconds", "s"), ("_seconds_total", "s"), ("_bytes", "By"), ("_bytes_total", "By")];
    let unit = unit.iter().find(|(end, _)| name.ends_with(end)).map_or("1", |(_, unit)| *unit);
    let (name, description, unit) = (name.to_owned(), help.to_owned(), unit.to_owned());
    Metric { name, description, unit, data: Some(data), ..Metric::default() }
}

fn number(Sample { labels, value }: Sample, time: u64) -> Option<NumberDataPoint> {
    let value = match value {
        Value::Number(number) => number_data_point::Value::AsInt(i64::try_from(number).ok()?),
        Value::Time(nanoseconds) => {
            let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
            number_data_point::Value::AsDouble(Duration::from_nanos(nanoseconds).as_secs_f64())
        }
        Value::Times(_) => return None,
    };
    let attributes = attributes(labels);
    let value = Some(value);
    Some(NumberDataPoint { attributes, time_unix_nano: time, value, ..Default::default() })
}

fn histogram(Sample { labels, value }: Sample, time: u64) -> Option<HistogramDataPoint> {
    let Value::Times(times) = value else { return None };
    // Here each bucket counts for itself; the last has what is beyond all bounds.
    let mut below = 0;
    let counts = times.at_most.into_iter().chain([times.count]).map(|at_most| {
        let own = at_most.saturating_sub(below);
        below = at_most;
        own
    });
    let bounds = BOUNDS.into_iter().map(|bound| Duration::from_micros(bound).as_secs_f64());
    Some(HistogramDataPoint {
        attributes: attributes(labels),
        time_unix_nano: time,
        count: times.count,
        sum: Some(times.sum.as_secs_f64()),
        bucket_counts: counts.collect(),
        explicit_bounds: bounds.collect(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    labels.into_iter().map(|(key, value)| attribute(key, value)).collect()
}

fn attribute(key: &str, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    };
    use tokio::{net::TcpListener, sync::mpsc};
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response, Status, transport::Server};

    use super::*;
    use crate::doors::metrics::latency::Histogram as Times;

    struct Collector(mpsc::Sender<ExportMetricsServiceRequest>);

    #[tonic::async_trait]
    impl MetricsService for Collector {
        async fn export(
            &self,
            request: Request<ExportMetricsServiceRequest>,
        ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
            self.0.send(request.into_inner()).await.unwrap();
            Ok(Response::new(ExportMetricsServiceResponse::default()))
        }
    }

    /// Through a real connection, to a server of OpenTelemetry's own messages.
    #[test]
    fn a_collector_gets_what_was_measured() {
        let mut states = Family::new("aurae_units", Kind::Gauge, "Units.");
        states.push([("state", "running")], 3_u64);
        let mut cpu = Family::new("aurae_unit_cpu_seconds_total", Kind::Counter, "CPU.");
        cpu.push([("unit", "web")], Value::Time(1_500_000_000));
        let mut calls = Family::new("aurae_rpc_duration_seconds", Kind::Histogram, "Calls.");
        let at_most = std::array::from_fn(|bound| if bound < 2 { 1 } else { 4 });
        let times = Times { at_most, count: 5, sum: Duration::from_secs(20) };
        calls.push([("method", "/a.B/C")], Value::Times(times));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let got = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let (sender, mut got) = mpsc::channel(1);
            let server =
                Server::builder().add_service(MetricsServiceServer::new(Collector(sender)));
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            let channel = Endpoint::from_shared(endpoint).unwrap().connect_lazy();
            let request = request(vec![states, cpu, calls], "node-7", 42);
            MetricsServiceClient::new(channel).export(request).await.unwrap();
            got.recv().await.unwrap()
        });

        let all = &got.resource_metrics[0];
        let said = format!("{:?}", all.resource);
        assert!(said.contains("service.name") && said.contains("node-7"), "{said}");
        let metrics = &all.scope_metrics[0].metrics;
        let units: Vec<_> = metrics.iter().map(|it| (it.name.as_str(), it.unit.as_str())).collect();
        let [(_, one), (_, seconds), (_, s)] = units.as_slice() else { panic!("{units:?}") };
        assert_eq!((*one, *seconds, *s), ("1", "s", "s"));
        let Some(Data::Gauge(gauge)) = &metrics[0].data else { panic!("no gauge") };
        let point = &gauge.data_points[0];
        assert_eq!(point.attributes[0].key, "state");
        assert_eq!(point.time_unix_nano, 42);
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(3)));
        let Some(Data::Sum(sum)) = &metrics[1].data else { panic!("no sum") };
        assert!(sum.is_monotonic);
        let value = sum.data_points[0].value;
        assert_eq!(value, Some(number_data_point::Value::AsDouble(1.5)));
        let Some(Data::Histogram(histogram)) = &metrics[2].data else { panic!("no histogram") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (5, Some(20.0)));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), 5);
        assert_eq!((point.bucket_counts[0], point.bucket_counts[2]), (1, 3));
        assert_eq!(point.bucket_counts.last(), Some(&1));
    }
}
