//! The upstream's side: commands out and replies in through [`Client`].

use std::hint::black_box;

use bytes::Buf;
use criterion::Criterion;
use sendgate::smtp::{Client, Expect};
use sendgate::transaction::answers;

/// Most octets of one reply, as by default.
const REPLY_LIMIT: usize = 64 * 1024;

pub(super) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client");
    let mut client = Client::new(REPLY_LIMIT);
    group.bench_function("RCPT and its reply", |bencher| {
        bencher.iter(|| exchange(&mut client, 1, b"250 2.1.5 Ok\r\n"));
    });
    let fifty = b"250 2.1.5 Ok\r\n".repeat(50);
    group.bench_function("50 RCPT in one write", |bencher| {
        bencher.iter(|| exchange(&mut client, 50, &fifty));
    });
    let refusal = b"550-5.1.1 The mailbox does not exist.\r\n\
        550-5.1.1 Please check the address for typing errors,\r\n\
        550 5.1.1 or see https://mx.example.net/help\r\n";
    group.bench_function("refusal of three lines", |bencher| {
        bencher.iter(|| exchange(&mut client, 1, refusal));
    });
    group.bench_function("refusal of three lines as ours", |bencher| {
        client.command(Expect::Rcpt(0), &[b"RCPT TO:<recipient@example.net>"]);
        client.output().clear();
        client.input().extend_from_slice(refusal);
        let (_, reply) = client.next_reply().unwrap().unwrap();
        bencher.iter(|| answers::of_upstream(black_box(&reply), false).to_string());
    });
    group.finish();
}

/// Queues so many recipients, takes the commands away and reads the answers to all of them.
fn exchange(client: &mut Client, recipients: usize, answers: &[u8]) {
    for index in 0..recipients {
        let path = black_box(b"<recipient@customers.example.net>");
        client.command(Expect::Rcpt(index), &[b"RCPT TO:", path]);
    }
    let written = client.output().len();
    client.output().advance(written);
    client.input().extend_from_slice(black_box(answers));
    while client.awaits_reply() {
        black_box(client.next_reply().unwrap().unwrap());
    }
}
