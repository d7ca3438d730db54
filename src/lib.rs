//! Sendgate: an SMTP gateway that keeps mail away from people who must not get it.

pub mod bounce;
pub mod cli;
pub mod mail;
pub mod suppression;
pub mod timestamp;
