//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// A page, as it grows.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub(super) fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // To a String it never fails.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    /// A sample of the metric that was begun last.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            write!(self.0, "{label}=\"{}\"", escaped(text)).ok();
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{end} {value}").ok();
    }

    /// A metric with one sample and no labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// All of it.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Seconds, as a decimal number.
pub(super) fn seconds(nanoseconds: u128) -> String {
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
        let mut page = Exposition::default();
        page.single("a_total", Kind::Counter, "How many.", 3);
        page.metric("b", Kind::Gauge, "What.");
        page.sample("b", &[("x", "1\"\\\n"), ("y", "")], seconds(1_500_000_000));
        let wanted = "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\n\
                      # HELP b What.\n# TYPE b gauge\nb{x=\"1\\\"\\\\\\n\",y=\"\"} 1.500000000\n";
        assert_eq!(page.into_text(), wanted);
    }

    proptest! {
        #[test]
        fn no_label_breaks_its_line(text in any::<String>()) {
            let mut page = Exposition::default();
            page.sample("a", &[("x", &text)], 1);
            let text = page.into_text();
            prop_assert_eq!(text.matches('\n').count(), 1);
            let whole = text.starts_with("a{x=\"") && text.ends_with("\"} 1\n");
            prop_assert!(whole);
        }
    }
}
