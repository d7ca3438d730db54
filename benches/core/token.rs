//! Tokens: made for a return path, checked in one that comes back, and hidden in what is shown.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use sendgate::suppression::Tenant;
use sendgate::token::{Signer, Token, TokenKind, hidden_octets};

use super::samples::NOW;

pub(super) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    let month = Duration::from_secs(30 * 86_400);
    let secrets = [&b"the secret of today"[..], b"the secret of last year"];
    let signer = Signer::new(secrets, month);
    let tenants = [Tenant::new("other").unwrap(), Tenant::default()];
    let token = Token {
        kind: TokenKind::Recipient,
        tenant: Tenant::default(),
        subject: *b"0123456789abcdef",
        label: 1,
        at: NOW,
        nonce: 77,
    };
    group.bench_function("made", |bencher| {
        bencher.iter(|| signer.sign(black_box(&token)).unwrap());
    });
    let ours = signer.sign(&token).unwrap();
    let mut forged = ours.clone();
    let last = if forged.ends_with('a') { "b" } else { "a" };
    forged.replace_range(ours.len() - 1.., last);
    for (name, text, is_ours) in [
        ("checked", ours.as_str(), true),
        ("checked, forged", forged.as_str(), false),
        ("checked, another local part", "news", false),
    ] {
        assert_eq!(signer.check(text, &tenants, NOW).is_ok(), is_ours);
        group.bench_function(name, |bencher| {
            bencher.iter(|| signer.check(black_box(text), &tenants, NOW));
        });
    }
    let refusal = format!("5.1.1 <{ours}@bounces.example.com>: sender unknown");
    for (name, text) in [
        ("hidden in a refusal", refusal.as_str()),
        (
            "hidden where there is none",
            "2.0.0 Ok: queued as 4bK9vq2Xz3z1Q",
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| hidden_octets(black_box(text.as_bytes())));
        });
    }
    group.finish();
}
