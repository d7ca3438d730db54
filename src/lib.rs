//! Sendgate: an SMTP gateway that keeps mail away from people who must not get it.

pub mod config;
pub mod log;
pub mod mail;
pub mod store;
pub mod suppression;
pub mod timestamp;
