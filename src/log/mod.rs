//! The suppression log: one JSON line for each verdict, for operators to read, follow and alert on.

pub mod entry;
mod filter;
mod followers;
mod line;
mod queue;
pub mod read;
mod sink;
pub mod writer;

pub use entry::Entry;
pub use filter::{Filter, Wanted};
pub(crate) use line::without_addresses;
pub use line::{Gap, Line};
pub use writer::{LogMetrics, LogOptions, SuppressionLog};
