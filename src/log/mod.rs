//! The suppression log: one JSON line for each verdict, for operators to read, follow and alert on.

pub mod entry;
pub mod read;
pub mod writer;

pub use entry::Entry;
pub use writer::SuppressionLog;
