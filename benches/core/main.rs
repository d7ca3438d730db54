//! What the pure core costs, piece by piece: `cargo bench --bench core`, under two minutes.
//!
//! The whole gateway is measured by `benches/relay/run`, and its instructions are counted by
//! `benches/instructions/run`; here is to be seen which piece of it changed.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement without its input is none"
)]

mod client;
mod judging;
mod log;
mod mail;
mod message;
mod samples;
mod server;
mod store;
mod token;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use message::{Hop, LOADS};

/// What the program has, so that its share counts as it does there.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group! {
    name = benches;
    config = short();
    targets = server::all, client::all, judging::all, mail::all, token::all, store::all, log::all,
        messages
}
criterion_main!(benches);

/// Short on purpose: nothing here waits for anything, so that few samples are enough.
fn short() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(900))
}

/// Whole messages through all of it.
fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(1));
    for load in &LOADS {
        let mut hop = Hop::new(load);
        hop.carry();
        assert_eq!(hop.delivered(), 1, "the message did not arrive");
        group.bench_function(load.name, |bencher| bencher.iter(|| hop.carry()));
    }
    group.finish();
}
