//! The command line: one file for each command.

pub mod bounce;
pub mod client;
pub mod log;
pub mod recipient;
pub mod serve;
mod text;
