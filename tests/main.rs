//! Every integration test in one program: they share a harness and link once.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail it as the test itself may"
)]

mod admin;
mod attacks;
mod believed;
mod bounces;
mod brake;
mod crash;
mod demo;
mod dialogs;
mod dice;
mod envelope;
mod faults;
mod forwarded;
mod harness;
mod import;
mod ingest;
mod limits;
mod outage;
mod peers;
mod pool;
mod relay;
mod returned;
mod secrets;
mod signed;
mod story;
mod transparency;
mod undo;
mod wire;
