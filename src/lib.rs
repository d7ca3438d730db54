//! Sendgate: an SMTP gateway that keeps mail away from people who must not get it.

pub mod app;
pub mod bounce;
pub mod cli;
pub mod config;
mod demo;
pub mod gateway;
pub mod http;
pub mod import;
pub mod learning;
pub mod log;
pub mod mail;
pub mod smtp;
pub mod store;
pub mod suppression;
pub mod telemetry;
pub mod timestamp;
pub mod token;
pub mod transaction;
