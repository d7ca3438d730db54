//! The harness: a running [`Gateway`], the [`FakeUpstream`] behind it and the [`Client`] in front.
//!
//! Everything is blocking and speaks raw bytes, so that a test says exactly what is on the wire.
//! Each test starts its own gateway with its own directory and store, on ports the system chooses.

#![allow(
    dead_code,
    reason = "the harness is whole; not every test needs every part of it"
)]

mod admin;
mod client;
mod dialog;
mod gateway;
mod options;
mod redis;
mod stream;
mod tls;
mod upstream;
mod upstream_session;

use std::time::{Duration, Instant};

pub(crate) use admin::Admin;
pub(crate) use client::{Client, Reply, plain_response};
pub(crate) use dialog::Dialog;
pub(crate) use gateway::Gateway;
pub(crate) use options::Options;
pub(crate) use redis::RedisServer;
pub(crate) use tls::Certificate;
pub(crate) use upstream::{FakeUpstream, Message};
pub(crate) use upstream_session::{Act, Moment};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Polls until `look` finds something.
///
/// # Panics
/// When nothing is found in time; the message says what was waited for.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(TICK);
    }
}

/// A gateway with a friendly upstream behind it.
#[track_caller]
pub(crate) fn plain_gateway() -> (FakeUpstream, Gateway) {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    (upstream, gateway)
}

/// The same where DSN is offered: no header may take a recipient out.
#[track_caller]
pub(crate) fn dsn_gateway() -> (FakeUpstream, Gateway) {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("scopes = false")
        .start();
    (upstream, gateway)
}

/// The ways to send an input: whole, byte by byte, and split in two at each position.
pub(crate) fn each_way(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![input], input.chunks(1).collect()];
    ways.extend((1..input.len()).map(|at| vec![&input[..at], &input[at..]]));
    ways
}
