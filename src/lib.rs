//! Sendgate: an SMTP gateway that keeps mail away from people who must not get it.

pub mod cli;
pub mod config;
pub mod http;
pub mod log;
pub mod mail;
pub mod store;
pub mod suppression;
pub mod timestamp;
