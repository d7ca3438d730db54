//! Telemetry: what the gateway tells of itself, as a [log](init_tracing) and as [`Metrics`].

mod metrics;
mod trace;

pub use metrics::Metrics;
pub use trace::{TraceError, TraceHandle, init_tracing, reload_level};
