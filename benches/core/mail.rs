//! The header of a message: held back, read, stripped, and our trace in front of it.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use sendgate::mail::header::{HeaderReader, HeaderStep};
use sendgate::transaction::labels;
use sendgate::transaction::received::{Received, protocol};

use super::samples::{self, NOW};

pub(super) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    let header = Bytes::from_static(samples::header().as_bytes());
    let message = Bytes::from(samples::message(10 * 1024));
    group.throughput(Throughput::Bytes(header.len() as u64));
    group.bench_function("held back, in one piece", |bencher| {
        bencher.iter(|| hold(&message, message.len()));
    });
    group.bench_function("held back, in pieces of 100 octets", |bencher| {
        bencher.iter(|| hold(&message, 100));
    });
    group.bench_function("labels", |bencher| {
        bencher.iter(|| labels::read(black_box(&header), "gw.example.com").unwrap());
    });
    group.bench_function("strip", |bencher| {
        bencher.iter(|| labels::strip(black_box(&header)));
    });
    let mut out = BytesMut::with_capacity(1024);
    group.bench_function("Received", |bencher| {
        bencher.iter(|| {
            out.clear();
            received().encode(&mut out);
        });
    });
    group.finish();
}

/// Reads a message up to the end of its header.
fn hold(message: &Bytes, piece: usize) -> HeaderStep {
    let mut reader = HeaderReader::new(256 * 1024);
    for start in (0..black_box(message).len()).step_by(piece) {
        let end = message.len().min(start + piece);
        match reader.push(&message.slice(start..end)) {
            HeaderStep::Incomplete => {}
            done => return done,
        }
    }
    reader.finish()
}

fn received() -> Received<'static> {
    Received {
        helo: "client.example",
        client: [192, 0, 2, 1].into(),
        hostname: "gw.example.com",
        with: protocol(true, true, false, false),
        id: "01h455vb4pex5vsk",
        only: None,
        at: black_box(NOW),
    }
}
