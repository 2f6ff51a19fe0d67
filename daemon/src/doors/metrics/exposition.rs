//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::{
    family::{Family, Kind, Value},
    latency::BOUNDS,
};

/// All of this as a page.
pub(super) fn page(families: &[Family]) -> String {
    let mut page = String::new();
    families.iter().for_each(|family| write_family(&mut page, family));
    page
}

fn write_family(page: &mut String, Family { name, kind, help, samples }: &Family) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // To a String it never fails.
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    for sample in samples {
        let labels: Vec<_> = sample.labels.iter().map(|(label, text)| (*label, text)).collect();
        match &sample.value {
            Value::Number(number) => line(page, name, labels, number),
            Value::Time(nanoseconds) => line(page, name, labels, seconds(*nanoseconds)),
            Value::Times(histogram) => {
                let bounds = BOUNDS.into_iter().map(|bound| seconds(u128::from(bound) * 1000));
                let buckets = bounds.zip(histogram.at_most);
                let all = ("+Inf".to_owned(), histogram.count);
                for (bound, at_most) in buckets.chain([all]) {
                    let bound = labels.iter().copied().chain([("le", &bound)]);
                    line(page, &format!("{name}_bucket"), bound, at_most);
                }
                let sum = seconds(histogram.sum.as_nanos());
                line(page, &format!("{name}_sum"), labels.iter().copied(), sum);
                line(page, &format!("{name}_count"), labels, histogram.count);
            }
        }
    }
}

fn line<'a>(
    page: &mut String,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a String)>,
    value: impl Display,
) {
    page.push_str(name);
    let mut between = '{';
    for (label, text) in labels {
        write!(page, "{between}{label}=\"{}\"", escaped(text)).ok();
        between = ',';
    }
    let end = if between == '{' { "" } else { "}" };
    writeln!(page, "{end} {value}").ok();
}

/// Seconds, as a decimal number.
fn seconds(nanoseconds: u128) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_lines() {
        let single = Family::single("a_total", Kind::Counter, "How many.", 3);
        let mut family = Family::new("b", Kind::Gauge, "What.");
        family.push([("x", "1\"\\\n"), ("y", "")], Value::Time(1_500_000_000));
        let wanted = "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\n\
                      # HELP b What.\n# TYPE b gauge\nb{x=\"1\\\"\\\\\\n\",y=\"\"} 1.500000000\n";
        assert_eq!(page(&[single, family]), wanted);
    }

    proptest! {
        #[test]
        fn no_label_breaks_its_line(text in any::<String>()) {
            let mut family = Family::new("a", Kind::Gauge, "What.");
            family.push([("x", &text)], 1_usize);
            let text = page(&[family]);
            prop_assert_eq!(text.matches('\n').count(), 3);
            let whole = text.contains("\na{x=\"") && text.ends_with("\"} 1\n");
            prop_assert!(whole);
        }
    }
}
