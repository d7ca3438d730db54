//! [`Metrics`] counts what happens, for `/metrics` (OpenMetrics text).
//!
//! Counting allocates nothing: names of listeners and streams are [interned](Names) the first time,
//! all other labels are known when this is compiled.

mod names;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::log::writer::LogMetrics;
use crate::suppression::event::Effect;
use crate::suppression::{Reason, Verdict};
use names::{Name, Names};

/// Seconds; a look-up over loopback takes tenths of a millisecond, and the store timeout is 200 ms.
const LOOKUP_BUCKETS: [f64; 13] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    names: Names,
    connections_open: Family<Listener, Gauge>,
    connections: Family<Listener, Counter>,
    connections_refused: Family<Refusal, Counter>,
    recipients: Family<Judged, Counter>,
    transactions: Family<Outcome, Counter>,
    lookup_duration: Histogram,
    lookup_keys: Counter,
    lookup_keys_unavailable: Counter,
    upstream_connections: Counter,
    upstream_failures: Family<Why, Counter>,
    upstream_idle: Gauge,
    events: Family<EventEffect, Counter>,
    reports: Family<ReportKind, Counter>,
    bounces: Family<Blame, Counter>,
    returns_refused: Family<Why, Counter>,
    forwarded: Family<Outcome, Counter>,
    labels_lost: Counter,
    log_lines: Counter,
    log_lost_lines: Counter,
    store_alarm: Gauge,
    learning_held: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    listener: Name,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    stream: Name,
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventEffect {
    change: &'static str,
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Blame {
    reason: &'static str,
    fault: &'static str,
}

impl Metrics {
    /// A client connected to a listener.
    pub fn connection_opened(&self, listener: &str) {
        let labels = self.listener(listener);
        self.connections.get_or_create(&labels).inc();
        self.connections_open.get_or_create(&labels).inc();
    }

    /// A connection that was opened ended.
    pub fn connection_closed(&self, listener: &str) {
        let labels = self.listener(listener);
        self.connections_open.get_or_create(&labels).dec();
    }

    /// A client was turned away before it could say anything.
    pub fn connection_refused(&self, listener: &str, why: &'static str) {
        let listener = self.names.intern(listener);
        let labels = Refusal { listener, why };
        self.connections_refused.get_or_create(&labels).inc();
    }

    /// So many recipients were judged alike.
    pub fn verdicts(&self, stream: &str, verdict: Verdict, reason: Option<Reason>, count: usize) {
        let labels = Judged {
            stream: self.names.intern(stream),
            verdict: names::of_verdict(verdict),
            reason: reason.map_or("none", names::of_reason),
        };
        self.recipients.get_or_create(&labels).inc_by(count as u64);
    }

    /// A transaction ended: `delivered`, `refused`, `aborted`, `indeterminate` or `discarded`.
    pub fn transaction(&self, outcome: &'static str) {
        self.transactions.get_or_create(&Outcome { outcome }).inc();
    }

    /// The store was asked for so many keys, and had no answer for some.
    pub fn lookup(&self, duration: Duration, keys: usize, unavailable: usize) {
        self.lookup_duration.observe(duration.as_secs_f64());
        self.lookup_keys.inc_by(keys as u64);
        self.lookup_keys_unavailable.inc_by(unavailable as u64);
    }

    /// A connection to the upstream stands: greeted, and with TLS where it is wanted.
    pub fn upstream_connected(&self) {
        self.upstream_connections.inc();
    }

    /// The upstream could not be reached or was lost.
    pub fn upstream_failed(&self, why: &'static str) {
        self.upstream_failures.get_or_create(&Why { why }).inc();
    }

    /// So many connections to the upstream are kept for the next transaction.
    pub fn upstream_idle(&self, connections: i64) {
        self.upstream_idle.set(connections);
    }

    /// How many events of each kind were recorded, and what they did; none is a repetition.
    pub fn recorded(&self, change: &'static str, effect: Option<Effect>) {
        self.event(change, effect.map_or("duplicate", Effect::name));
    }

    fn event(&self, change: &'static str, effect: &'static str) {
        let labels = EventEffect { change, effect };
        self.events.get_or_create(&labels).inc();
    }

    /// A message came to a returns listener.
    pub fn report(&self, kind: &'static str) {
        self.reports.get_or_create(&ReportKind { kind }).inc();
    }

    /// A believed report told of a failed recipient: why, and whose fault it is.
    pub fn bounce(&self, reason: &'static str, fault: &'static str) {
        let labels = Blame { reason, fault };
        self.bounces.get_or_create(&labels).inc();
    }

    /// A recipient was refused on a returns listener: `unsigned`, `forged`, `expired`, `domain` or
    /// `unreadable`.
    pub fn return_refused(&self, why: &'static str) {
        self.returns_refused.get_or_create(&Why { why }).inc();
    }

    /// Returned mail was to be sent on: `delivered`, `deferred`, `refused`, `suppressed`, `looping` or
    /// `unfit`.
    pub fn forwarded(&self, outcome: &'static str) {
        self.forwarded.get_or_create(&Outcome { outcome }).inc();
    }

    /// The store no longer knew what the tag of a signed address stands for.
    pub fn label_lost(&self) {
        self.labels_lost.inc();
    }

    /// So many lines of the suppression log were lost.
    pub fn log_lost(&self, lines: u64) {
        self.log_lost_lines.inc_by(lines);
    }

    /// So many lines of the suppression log were written.
    pub fn log_written(&self, lines: u64) {
        self.log_lines.inc_by(lines);
    }

    /// Whether the store does not answer, or is not the one we know: emptied, swapped or foreign.
    pub fn store_alarm(&self, raised: bool) {
        self.store_alarm.set(raised.into());
    }

    /// A hard bounce was held by the brake on learning.
    pub fn held(&self) {
        self.event("bounce", "held");
    }

    /// So many causes are held by the brake on learning, and wait for an operator.
    pub fn holding(&self, causes: u64) {
        self.learning_held
            .set(i64::try_from(causes).unwrap_or(i64::MAX));
    }

    /// Everything, as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing into a String does not fail; half a page would be read as the whole.
            Err(_) => String::new(),
        }
    }

    fn listener(&self, name: &str) -> Listener {
        Listener {
            listener: self.names.intern(name),
        }
    }

    /// Counters that alerts compare with 0 are there from the beginning.
    fn begin_at_zero(&self) {
        for outcome in [
            "delivered",
            "refused",
            "aborted",
            "indeterminate",
            "discarded",
        ] {
            let _ = self.transactions.get_or_create(&Outcome { outcome });
        }
    }
}

impl Default for Metrics {
    /// Names every metric. The registry adds `sendgate_` in front, units and `_total` behind, and a
    /// full stop to the help.
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sendgate");
        let r = &mut registry;
        r.register(
            "build",
            "The program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        let metrics = Self {
            names: Names::default(),
            connections_open: new(
                r,
                "connections_open",
                "Connections of clients that are open",
            ),
            connections: new(r, "connections", "Connections of clients that were opened"),
            connections_refused: new(
                r,
                "connections_refused",
                "Connections of clients that were turned away",
            ),
            recipients: new(r, "recipients", "Recipients that were judged"),
            transactions: new(r, "transactions", "Transactions that ended"),
            lookup_duration: lookup_duration(r),
            lookup_keys: new(r, "lookup_keys", "Recipients that the store was asked for"),
            lookup_keys_unavailable: new(
                r,
                "lookup_keys_unavailable",
                "Recipients for whom the store had no answer",
            ),
            upstream_connections: new(
                r,
                "upstream_connections",
                "Connections to the upstream that were made",
            ),
            upstream_failures: new(
                r,
                "upstream_failures",
                "Connections to the upstream that could not be made",
            ),
            upstream_idle: new(
                r,
                "upstream_idle_connections",
                "Connections to the upstream that wait for the next transaction",
            ),
            events: new(r, "events", "Events that were applied to records"),
            reports: new(r, "reports", "Messages that came to a returns listener"),
            bounces: new(
                r,
                "bounces",
                "Failed recipients that believed reports told of",
            ),
            returns_refused: new(
                r,
                "returns_refused",
                "Recipients that were refused on a returns listener",
            ),
            forwarded: new(
                r,
                "forwarded",
                "Returned messages that were to be sent on to their sender",
            ),
            labels_lost: new(
                r,
                "labels_lost",
                "Signed addresses whose label the store no longer knew",
            ),
            log_lines: new(
                r,
                "log_lines",
                "Lines of the suppression log that were written",
            ),
            log_lost_lines: new(
                r,
                "log_lost_lines",
                "Lines of the suppression log that were lost",
            ),
            store_alarm: new(
                r,
                "store_alarm",
                "1 while the store does not answer, or is not the one we know",
            ),
            learning_held: new(
                r,
                "learning_held_causes",
                "Causes whose hard bounces are held until an operator has looked",
            ),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }
}

/// A metric of this name, and its help, in the registry.
fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn lookup_duration(registry: &mut Registry) -> Histogram {
    let (name, help) = (
        "lookup_duration",
        "How long the store took to answer a look-up",
    );
    let histogram = Histogram::new(LOOKUP_BUCKETS);
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

impl LogMetrics for Metrics {
    fn log_written(&self, lines: u64) {
        self.log_written(lines);
    }

    fn log_lost(&self, lines: u64) {
        self.log_lost(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::default();
        metrics.connection_opened("127.0.0.1:2525");
        metrics.connection_opened("127.0.0.1:2525");
        metrics.connection_closed("127.0.0.1:2525");
        metrics.connection_refused("127.0.0.1:2525", "connection_limit");
        metrics.verdicts("campaign", Verdict::Reject, Some(Reason::OptOut), 1);
        metrics.verdicts("campaign", Verdict::Relay, None, 1);
        metrics.transaction("delivered");
        metrics.lookup(Duration::from_micros(150), 3, 1);
        metrics.upstream_connected();
        metrics.upstream_failed("connect");
        metrics.upstream_idle(4);
        metrics.event("opt_out", "changed");
        metrics.report("bounce");
        metrics.bounce("user_unknown", "recipient");
        metrics.return_refused("forged");
        metrics.forwarded("delivered");
        metrics.label_lost();
        LogMetrics::log_lost(&metrics, 2);
        LogMetrics::log_written(&metrics, 7);
        metrics.store_alarm(true);
        metrics.held();
        metrics.holding(2);
        let text = metrics.encode();
        for line in [
            "sendgate_connections_open{listener=\"127.0.0.1:2525\"} 1",
            "sendgate_connections_total{listener=\"127.0.0.1:2525\"} 2",
            "sendgate_connections_refused_total{listener=\"127.0.0.1:2525\",why=\"connection_limit\"} 1",
            "sendgate_recipients_total{stream=\"campaign\",verdict=\"reject\",reason=\"opt_out\"} 1",
            "sendgate_recipients_total{stream=\"campaign\",verdict=\"relay\",reason=\"none\"} 1",
            "sendgate_transactions_total{outcome=\"delivered\"} 1",
            "sendgate_transactions_total{outcome=\"indeterminate\"} 0",
            "sendgate_lookup_duration_seconds_bucket{le=\"0.0001\"} 0",
            "sendgate_lookup_duration_seconds_bucket{le=\"0.0002\"} 1",
            "sendgate_lookup_keys_total 3",
            "sendgate_lookup_keys_unavailable_total 1",
            "sendgate_upstream_connections_total 1",
            "sendgate_upstream_failures_total{why=\"connect\"} 1",
            "sendgate_upstream_idle_connections 4",
            "sendgate_events_total{change=\"opt_out\",effect=\"changed\"} 1",
            "sendgate_reports_total{kind=\"bounce\"} 1",
            "sendgate_bounces_total{reason=\"user_unknown\",fault=\"recipient\"} 1",
            "sendgate_returns_refused_total{why=\"forged\"} 1",
            "sendgate_forwarded_total{outcome=\"delivered\"} 1",
            "sendgate_labels_lost_total 1",
            "sendgate_log_lines_total 7",
            "sendgate_log_lost_lines_total 2",
            "sendgate_store_alarm 1",
            "sendgate_events_total{change=\"bounce\",effect=\"held\"} 1",
            "sendgate_learning_held_causes 2",
            "# UNIT sendgate_lookup_duration_seconds seconds",
            "# HELP sendgate_reports Messages that came to a returns listener.",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(text.contains("sendgate_build_info{version="));
        assert!(text.ends_with("# EOF\n"));
    }
}
