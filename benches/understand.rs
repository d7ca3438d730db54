//! How many messages a second are understood on one core, and what hostile input costs.
//!
//! `cargo bench --bench understand` reads the samples of the tests, and where there is a folder of
//! real returned mail (`$SENDGATE_BOUNCES`, else `../shared/bounces`), those too.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement without its input is none"
)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sendgate::bounce::{Limits, understand};

criterion_group!(benches, samples, hostile);
criterion_main!(benches);

fn samples(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    measure(criterion, "own samples", &root.join("tests/bounces"));
    let real = std::env::var_os("SENDGATE_BOUNCES")
        .map_or_else(|| root.join("../shared/bounces"), PathBuf::from);
    measure(criterion, "real mail", &real.join("mail"));
}

/// All messages of a folder, one after the other; criterion tells messages a second.
fn measure(criterion: &mut Criterion, name: &str, folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        eprintln!("skipped: no mail in {}", folder.display());
        return;
    };
    let messages: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == "eml"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    let mut group = criterion.benchmark_group("understand");
    group.throughput(Throughput::Elements(messages.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for message in &messages {
                black_box(understand(message, &Limits::default()));
            }
        });
    });
    group.finish();
}

/// A megabyte each, made to be slow: none may take more than 50 ms.
fn hostile(criterion: &mut Criterion) {
    let size = Limits::default().size_limit;
    let filled = |start: &str, piece: &str| start.to_owned() + &piece.repeat(size / piece.len());
    let mut nested = "Content-Type: multipart/mixed; boundary=b0\n\n".to_owned();
    for level in 0..20_000 {
        nested += &format!(
            "--b{level}\nContent-Type: multipart/mixed; boundary=b{}\n\n",
            level + 1
        );
    }
    let report = "Content-Type: message/delivery-status\n\n";
    let inputs = [
        ("nested multiparts", nested),
        (
            "nested messages",
            filled("", "Content-Type: message/rfc822\n\n"),
        ),
        ("header line", filled("X: ", "a")),
        ("header fields", filled("", "a:b\n")),
        (
            "recipients",
            filled(
                report,
                "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1\n\n",
            ),
        ),
        ("groups of nobody", filled(report, "Status: 5\n\n")),
        (
            "words",
            filled(
                "From: mailer-daemon@example.net\n\n",
                "<a@example.com>: no\n",
            ),
        ),
    ];
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(20);
    for (name, message) in inputs {
        group.bench_function(name, |bencher| {
            bencher.iter(|| understand(black_box(message.as_bytes()), &Limits::default()));
        });
    }
    group.finish();
}
