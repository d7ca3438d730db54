//! The suppression log: entries on their way through the queue and the thread that renders them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use criterion::{BatchSize, Criterion, Throughput};
use sendgate::log::entry::Outcome;
use sendgate::log::{Entry, Line, LogMetrics, LogOptions, SuppressionLog};
use sendgate::suppression::{RecipientKey, Tenant, Verdict};

use super::samples::NOW;

/// How many entries are put on their way at once.
const LINES: u64 = 1000;

/// Passes on how many lines are done.
struct Done(Sender<u64>);

impl LogMetrics for Done {
    fn log_written(&self, lines: u64) {
        self.0.send(lines).unwrap();
    }

    fn log_lost(&self, lines: u64) {
        panic!("{lines} lines were lost");
    }
}

pub(super) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("suppression log");
    group.throughput(Throughput::Elements(LINES));
    for (name, hashed) in [
        ("1000 lines rendered", false),
        ("1000 lines rendered, hashed", true),
    ] {
        // Without a file: a measurement would fill the disk.
        let options = LogOptions {
            hashed,
            ..LogOptions::default()
        };
        let (sender, done) = channel();
        let log = SuppressionLog::start(options, Arc::new(Done(sender))).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || vec![entry(); usize::try_from(LINES).unwrap()],
                |entries| {
                    log.write(entries);
                    let mut left = LINES;
                    while left > 0 {
                        left -= done.recv().unwrap();
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.throughput(Throughput::Elements(1));
    let line = serde_json::to_vec(&entry()).unwrap();
    group.bench_function("a line read", |bencher| {
        bencher.iter(|| Line::parse(black_box(&line)).unwrap());
    });
    group.finish();
}

/// A recipient that got a message.
fn entry() -> Entry {
    Entry {
        time: NOW,
        id: "01h455vb4pex5vsk".into(),
        tenant: Tenant::default(),
        listener: "127.0.0.1:2525".into(),
        credential: None,
        client: [192, 0, 2, 1].into(),
        stream: "campaign".into(),
        campaign: Some("november".into()),
        message_id: Some("<20261122093000.1234@example.org>".into()),
        recipient: "recipient@customers.example.net".to_owned(),
        key: Some(RecipientKey::from_bytes([7; 16])),
        verdict: Verdict::Relay,
        reason: None,
        also: Vec::new(),
        since: None,
        observed: false,
        reply: Some("250 2.0.0 Ok: queued as 4bK9vq2Xz3z1Q".into()),
        upstream_reply: Some("250 2.0.0 Ok: queued as 4bK9vq2Xz3z1Q".into()),
        outcome: Some(Outcome::Delivered),
    }
}
