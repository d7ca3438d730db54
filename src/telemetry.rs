//! Temporary.
use std::time::Duration;
use crate::suppression::{Reason, Verdict};
/// Temporary.
#[derive(Debug, Default)]
pub struct Metrics;
#[allow(missing_docs, clippy::unused_self)]
impl Metrics {
    pub fn connection_opened(&self, _: &str) {}
    pub fn connection_closed(&self, _: &str) {}
    pub fn connection_refused(&self, _: &str, _: &'static str) {}
    pub fn verdict(&self, _: &str, _: Verdict, _: Option<Reason>) {}
    pub fn transaction(&self, _: &'static str) {}
    pub fn lookup(&self, _: Duration, _: usize, _: usize) {}
    pub fn upstream_connected(&self) {}
    pub fn upstream_failed(&self, _: &'static str) {}
    pub fn upstream_idle(&self, _: i64) {}
    pub fn event(&self, _: &'static str, _: &'static str) {}
    pub fn report(&self, _: &'static str) {}
    pub fn log_lost(&self, _: u64) {}
    pub fn log_written(&self, _: u64) {}
    pub fn store_alarm(&self, _: bool) {}
    pub fn encode(&self) -> String { String::new() }
}

impl crate::log::writer::LogMetrics for Metrics {
    fn log_written(&self, _: u64) {}
    fn log_lost(&self, _: u64) {}
}
