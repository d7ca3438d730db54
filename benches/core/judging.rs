//! From an address to what happens to it: key, verdict and the transaction that keeps both.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use sendgate::config::{Mode, Suppressed};
use sendgate::mail::{Address, ForwardPath, ReversePath};
use sendgate::smtp::{MailParameters, RcptParameters};
use sendgate::suppression::policy::MessageScopes;
use sendgate::suppression::{Finding, KeyMaker, Scope, Stream, StreamClass, Tenant, judge};
use sendgate::transaction::{Fate, Policy, Transaction};

use super::samples::{self, NOW};

pub(super) fn all(criterion: &mut Criterion) {
    keys(criterion);
    verdicts(criterion);
    transactions(criterion);
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("address");
    for (name, text) in [
        ("plain", "recipient@customers.example.net"),
        ("to be canonicalized", "\"Recipient\"@Bücher.Example.NET"),
    ] {
        group.bench_function(format!("parse {name}"), |bencher| {
            bencher.iter(|| Address::parse(black_box(text)).unwrap());
        });
    }
    let address = Address::parse("recipient@customers.example.net").unwrap();
    let keys = KeyMaker::new(b"a pepper to measure with");
    let tenant = Tenant::default();
    group.bench_function("key", |bencher| {
        bencher.iter(|| keys.key(black_box(&tenant), black_box(&address)));
    });
    group.finish();
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    let none = MessageScopes::default();
    let named = MessageScopes {
        list: Scope::list("news.example.org").ok(),
        topic: Scope::topic("offers").ok(),
    };
    let known = Finding::known(&samples::record());
    let campaign = Stream::new("campaign", StreamClass::Campaign);
    let receipts = Stream::new("receipts", StreamClass::Transactional);
    for (name, finding, stream, scopes) in [
        ("clear", &Finding::Clear, &campaign, &none),
        ("six axes", &known, &campaign, &none),
        ("six axes, list and topic named", &known, &campaign, &named),
        ("six axes, transactional", &known, &receipts, &none),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| judge(black_box(finding), stream, scopes, NOW));
        });
    }
    group.finish();
}

fn transactions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    let stream = Arc::new(Stream::new("campaign", StreamClass::Campaign));
    let policy = Arc::new(Policy {
        tenant: Tenant::default(),
        stream: Arc::clone(&stream),
        choices: vec![stream],
        suppressed: Suppressed::Reject,
        mode: Mode::Enforce,
        scopes: true,
        sign: false,
        list_unsubscribe: false,
    });
    let known = Finding::known(&samples::record());
    for (name, finding, number) in [
        ("1 recipient, clear", &Finding::Clear, 1),
        ("1 recipient, suppressed", &known, 1),
        ("50 recipients, clear", &Finding::Clear, 50),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || vec![(path(), finding.clone()); number],
                |recipients| add(&policy, recipients),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("50 recipients judged again", |bencher| {
        let mut transaction = add(&policy, vec![(path(), Finding::Clear); 50]);
        for recipient in &mut transaction.recipients {
            recipient.fate = Fate::Accepted;
        }
        let named = MessageScopes {
            list: Scope::list("news.example.org").ok(),
            topic: None,
        };
        bencher.iter(|| transaction.rejudge(Arc::clone(&policy.stream), &named, NOW));
    });
    group.finish();
}

/// A transaction with these recipients, and the answers to them.
fn add(policy: &Arc<Policy>, recipients: Vec<(ForwardPath, Finding)>) -> Transaction {
    let (id, sender) = ("01h455vb4pex5vsk".to_owned(), ReversePath::Null);
    let parameters = MailParameters::default();
    let mut transaction = Transaction::new(id, sender, parameters, Arc::clone(policy));
    for (path, finding) in recipients {
        let parameters = RcptParameters::default();
        black_box(transaction.add(path, parameters, None, finding, NOW));
    }
    transaction
}

fn path() -> ForwardPath {
    let text = Bytes::from_static(b"<recipient@customers.example.net>");
    ForwardPath::parse(&text).unwrap().0
}
