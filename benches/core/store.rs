//! A look-up in the embedded store: it decodes the records it finds.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use futures_util::FutureExt;
use sendgate::store::embedded::EmbeddedStore;
use sendgate::store::identity::Identity;
use sendgate::store::{Commit, HistoryEntry, Store};
use sendgate::suppression::event::{Effect, Grounds};
use sendgate::suppression::{
    Change, Event, EventId, Finding, KeyMaker, RecipientKey, Scope, Tenant,
};

use super::samples::{self, NOW};

pub(super) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedded look-up");
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    let tenant = Tenant::default();
    let known: Vec<_> = (0..50).map(key).collect();
    let unknown: Vec<_> = (50..100).map(key).collect();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(fill(&store, &folder.path().join("generation"), &known));
    for (name, keys) in [
        ("1, unknown", &unknown[..1]),
        ("1 with six axes", &known[..1]),
        ("50, unknown", &unknown[..]),
        ("50 with six axes", &known[..]),
    ] {
        group.throughput(Throughput::Elements(keys.len() as u64));
        group.bench_function(name, |bencher| {
            // The embedded store reads where it is asked: the future never waits.
            bencher.iter(|| {
                let found = store.look_up(&tenant, black_box(keys)).now_or_never();
                let found = found.unwrap();
                assert!(!found.contains(&Finding::Unavailable), "not answered");
                found
            });
        });
    }
    group.finish();
}

/// Sets the store up and gives each key a record.
async fn fill(store: &EmbeddedStore, state_file: &std::path::Path, keys: &[RecipientKey]) {
    let identity = Identity {
        keys: KeyMaker::new(b"a pepper to measure with"),
        state_file: state_file.to_owned(),
        create: true,
    };
    identity.establish(store).await.unwrap();
    let record = samples::record();
    for key in keys {
        let event = Event {
            id: EventId::of(&[key.as_bytes()]),
            at: NOW,
            actor: "recipient".to_owned(),
            via: "one-click".to_owned(),
            message_at: None,
            address: None,
            change: Change::OptOut {
                scope: Scope::All,
                grounds: Grounds::default(),
            },
        };
        let entry = HistoryEntry {
            event,
            effect: Effect::Changed,
            decided: None,
        };
        let commit = Commit {
            tenant: &Tenant::default(),
            key,
            expected_version: 0,
            record: &record,
            entry: &entry,
            remember: Duration::from_secs(86_400),
        };
        store.commit(&commit).await.unwrap();
    }
}

fn key(number: u8) -> RecipientKey {
    RecipientKey::from_bytes([number; 16])
}
