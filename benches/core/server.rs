//! The client's side: commands, bodies and replies through [`Server`].

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput};
use sendgate::mail::EnhancedStatus;
use sendgate::smtp::command::Command;
use sendgate::smtp::{Event, Reply, Server};

use super::samples;

const MAIL: &[u8] = b"MAIL FROM:<news@example.org>\r\n";

/// Size of the long body in octets.
const LONG: usize = 1 << 20;

/// How much of it arrives at once.
const READ: usize = 64 * 1024;

pub(super) fn all(criterion: &mut Criterion) {
    lines(criterion);
    commands(criterion);
    bodies(criterion);
    replies(criterion);
}

/// A line on its own.
fn lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command line");
    for (name, line) in [
        ("MAIL", "MAIL FROM:<news@example.org> SIZE=10240"),
        ("RCPT", "RCPT TO:<recipient@customers.example.net>"),
        (
            "RCPT, address as typed",
            "rcpt to:<\"Recipient\"@Customers.Example.NET>",
        ),
        ("DATA", "DATA"),
    ] {
        let line = Bytes::from_static(line.as_bytes());
        group.bench_function(name, |bencher| {
            bencher.iter(|| Command::parse(black_box(&line)).unwrap());
        });
    }
    group.finish();
}

/// Commands in a session, one by one and many at once, each with its reply.
fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    let rcpt = samples::rcpt(0);
    let fifty: String = (0..50).map(samples::rcpt).collect();
    let mut check = |name: &str, before: fn() -> Server, said: &[u8]| {
        group.bench_function(name, |bencher| {
            let feed = |server: &mut Server| converse(server, black_box(said));
            bencher.iter_batched_ref(before, feed, BatchSize::SmallInput);
        });
    };
    check("MAIL", samples::greeted_server, MAIL);
    check("RCPT", after_mail, rcpt.as_bytes());
    check("50 RCPT at once", after_mail, fifty.as_bytes());
    check("DATA", after_rcpt, b"DATA\r\n");
    group.finish();
}

/// Bodies with their end and the reply to them.
fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body");
    for (name, size) in [("10 KiB", 10 * 1024), ("1 MiB in pieces", LONG)] {
        let body = samples::message(size) + ".\r\n";
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            let feed = |server: &mut Server| {
                for piece in body.as_bytes().chunks(READ) {
                    converse(server, piece);
                }
            };
            bencher.iter_batched_ref(in_body, feed, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    let mut out = BytesMut::with_capacity(4096);
    let status = EnhancedStatus::of(2, 1, 5);
    group.bench_function("one line, made and encoded", |bencher| {
        bencher.iter(|| {
            out.clear();
            Reply::new(250, status, black_box("Recipient ok")).encode(&mut out);
        });
    });
    let hello = [
        "PIPELINING",
        "SIZE 104857600",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
    ]
    .iter()
    .fold(Reply::bare(250, "gw.example.com"), |reply, keyword| {
        reply.line(keyword)
    });
    group.bench_function("EHLO, encoded", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&hello).encode(&mut out);
        });
    });
    group.finish();
}

/// Feeds what the client said, accepts everything in it, and takes the replies away.
fn converse(server: &mut Server, said: &[u8]) {
    server.input().extend_from_slice(said);
    let mut recipients = 0;
    loop {
        let code = match server.next_event() {
            Some(Event::Recipient { .. }) => {
                recipients += 1;
                continue;
            }
            Some(Event::Body(piece)) => {
                black_box(piece);
                continue;
            }
            Some(Event::Data) => Some(354),
            Some(_) => Some(250),
            None if recipients == 0 => break,
            None => None,
        };
        for _ in 0..std::mem::take(&mut recipients) {
            server.reply(accepted(250));
        }
        if let Some(code) = code {
            server.reply(accepted(code));
        }
    }
    black_box(server.output().split());
}

fn accepted(code: u16) -> Reply {
    Reply::new(code, EnhancedStatus::of(2, 0, 0), "Ok")
}

fn after_mail() -> Server {
    let mut server = samples::greeted_server();
    converse(&mut server, MAIL);
    server
}

fn after_rcpt() -> Server {
    let mut server = after_mail();
    converse(&mut server, samples::rcpt(0).as_bytes());
    server
}

fn in_body() -> Server {
    let mut server = after_rcpt();
    converse(&mut server, b"DATA\r\n");
    assert!(server.in_body(), "DATA was refused");
    server
}
