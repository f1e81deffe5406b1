//! The list of all metrics, and the text that Prometheus scrapes.
//!
//! The text is of the classic format, which every scraper and `promtool` can read; the library
//! writes OpenMetrics, which names counters otherwise.

use std::fmt::Write;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::{Metric, Registry};

type Text = &'static str;

/// The description of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricEntry {
    /// Its name as it is exported.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it measures.
    pub help: &'static str,
}

impl MetricEntry {
    /// Its name for the library, which adds the ending to each counter.
    fn stem(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    registry: Registry,
    entries: Vec<MetricEntry>,
}

impl Catalog {
    /// Declares a counter, whose name ends in `_total`.
    pub(super) fn counter<M: Metric + Clone + Default>(&mut self, name: Text, help: Text) -> M {
        self.add(MetricEntry { name, kind: "counter", help }, M::default())
    }

    pub(super) fn gauge<M: Metric + Clone + Default>(&mut self, name: Text, help: Text) -> M {
        self.add(MetricEntry { name, kind: "gauge", help }, M::default())
    }

    /// Declares a histogram, which knows its buckets.
    pub(super) fn histogram<M: Metric + Clone>(&mut self, name: Text, help: Text, this: M) -> M {
        self.add(MetricEntry { name, kind: "histogram", help }, this)
    }

    fn add<M: Metric + Clone>(&mut self, entry: MetricEntry, metric: M) -> M {
        self.registry.register(entry.stem(), entry.help, metric.clone());
        self.entries.push(entry);
        metric
    }

    pub(super) fn entries(&self) -> &[MetricEntry] {
        &self.entries
    }

    pub(super) fn encode(&self) -> String {
        let mut open = String::new();
        if encode_registry(&mut open, &self.registry).is_err() {
            // Writing to a String cannot fail.
            tracing::error!("metrics encoding failed");
        }
        let mut text = String::with_capacity(open.len());
        let mut entries = self.entries.iter();
        for line in open.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                // In the order of registration, but for those that have no series yet.
                let is_it =
                    |entry: &&MetricEntry| described.starts_with(&format!("{} ", entry.stem()));
                if let Some(MetricEntry { name, kind, help }) = entries.by_ref().find(is_it) {
                    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
                        .expect("a string takes all that is written");
                }
            } else if !line.starts_with('#') {
                text.push_str(&line.replacen("{} ", " ", 1));
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;

    use super::super::Unlabelled;
    use super::*;

    #[test]
    fn counters_are_named_as_the_classic_format_has_them_and_what_is_not_known_is_left_out() {
        let mut catalog = Catalog::default();
        catalog.counter::<Counter>("a_total", "An A").inc();
        let _unknown: Family<Unlabelled, Gauge> = catalog.gauge("b", "A B");
        let _zero: Gauge = catalog.gauge("b_bytes", "Bytes of B");
        let known: Family<Unlabelled, Gauge> = catalog.gauge("c", "A C");
        known.get_or_create(&Unlabelled {}).set(7);
        assert_eq!(
            catalog.encode(),
            "# HELP a_total An A\n# TYPE a_total counter\na_total 1\n\
             # HELP b_bytes Bytes of B\n# TYPE b_bytes gauge\nb_bytes 0\n\
             # HELP c A C\n# TYPE c gauge\nc 7\n"
        );
    }
}
