mod filling;
mod layout;
mod settling;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use redb::{ReadableTable, ReadableTableMetadata};

use super::super::contract::{self, Fixture, contract_tests, event, key, ledger, tenant};
use super::super::identity::Identity;
use super::*;
use crate::suppression::Standing;

struct Embedded {
    store: Arc<EmbeddedStore>,
    folder: tempfile::TempDir,
}

fn fixture() -> Embedded {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    Embedded {
        store: Arc::new(store),
        folder,
    }
}

impl Fixture for Embedded {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<EmbeddedStore>::clone(&self.store)
    }

    fn set_field(&self, tenant: &Tenant, key: &RecipientKey, field: &str, value: Option<&[u8]>) {
        let change = |transaction: &Writing<'_>| {
            let mut records = transaction.open_table(tables::RECORDS)?;
            let mut register = recipients::Register::open(transaction)?;
            let known = register.number(tenant, key)?;
            let number = known.unwrap_or(records.len()?);
            if known.is_none() {
                register.add(tenant, key, number)?;
            }
            let old = records.get(number)?.map(|value| value.value().to_vec());
            let mut fields: std::collections::BTreeMap<String, String> =
                serde_json::from_slice(&old.unwrap_or_default()).unwrap_or_default();
            let object = match value.map(std::str::from_utf8) {
                // Not even JSON.
                Some(Err(_)) => value.unwrap_or_default().to_vec(),
                Some(Ok(text)) => {
                    fields.insert(field.to_owned(), text.to_owned());
                    serde_json::to_vec(&fields).unwrap()
                }
                None => {
                    fields.remove(field);
                    serde_json::to_vec(&fields).unwrap()
                }
            };
            records.insert(number, object.as_slice())?;
            transaction.set_standing(number, None);
            Ok(())
        };
        self.store.file.write(change).unwrap();
    }

    fn set_sent(&self, tenant: &Tenant, id: &TransactionId, fields: &[(&str, &str)]) {
        let object: std::collections::BTreeMap<_, _> = fields.iter().copied().collect();
        let object = serde_json::to_vec(&object).unwrap();
        let change = |transaction: &Writing<'_>| {
            let mut sent = transaction.open_table(returns::SENT)?;
            sent.insert((tenant.as_str(), id), (u64::MAX, object.as_slice()))?;
            Ok(())
        };
        self.store.file.write(change).unwrap();
    }

    fn set_hold(&self, tenant: &Tenant, cause: &CauseId, text: &str) {
        let change = |transaction: &Writing<'_>| {
            let mut holds = transaction.open_table(lessons::HOLDS)?;
            holds.insert((tenant.as_str(), cause.as_str()), text.as_bytes())?;
            Ok(())
        };
        self.store.file.write(change).unwrap();
    }

    fn set_generation(&self, generation: Option<&str>) {
        let change = |transaction: &Writing<'_>| {
            let mut table = transaction.open_table(tables::META)?;
            match generation {
                Some(generation) => {
                    let meta = serde_json::to_vec(&contract::meta(generation)).unwrap();
                    table.insert(tables::META_KEY, meta.as_slice())?;
                }
                None => {
                    table.remove(tables::META_KEY)?;
                }
            }
            Ok(())
        };
        self.store.file.write(change).unwrap();
    }
}

contract_tests!(fixture);

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let Embedded { store, folder } = fixture();
    let path = folder.path().join("store.redb");
    let shared: Arc<dyn Store> = store;
    shared.create_meta(&contract::meta("g")).await.unwrap();
    shared.expect_generation("g");
    ledger(&shared)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    let day = Duration::from_secs(24 * 3600);
    shared
        .put_sent(&tenant(), &[1; 16], &[key(1)], day)
        .await
        .unwrap();
    let put = shared.put_label(&tenant(), 1, "spring", Some(day)).await;
    assert_eq!(put.unwrap(), "spring");
    drop(shared);
    let shared: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&path).unwrap());
    shared.expect_generation("g");
    let recorded = ledger(&shared).record(&tenant(), &key(1), event(1)).await;
    assert_eq!(
        recorded.unwrap().effect,
        None,
        "the dedupe mark is there too"
    );
    assert_eq!(shared.read(&tenant(), &key(1)).await.unwrap().version, 1);
    let sent = shared.sent(&tenant(), &[1; 16]).await.unwrap();
    assert_eq!(sent, Some(vec![key(1)]));
    let label = shared.label(&tenant(), 1).await.unwrap();
    assert_eq!(label.as_deref(), Some("spring"));
}

#[tokio::test]
async fn f11_a_removed_file_is_an_emptied_store() {
    let Embedded { store, folder } = fixture();
    let path = folder.path().join("store.redb");
    let identity = Identity {
        keys: contract::keys(),
        state_file: folder.path().join("generation"),
        create: true,
    };
    identity.establish(store.as_ref()).await.unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    let error = identity.establish(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("emptied"), "{error}");
    assert_eq!(
        store.look_up(&tenant(), &[key(1)]).await,
        [Finding::Unavailable]
    );
}

#[test]
fn the_file_and_its_folder_are_made_for_us_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/deep/store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let error = EmbeddedStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    drop(store);
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for contents in ["x", "not a store at all", &"long ".repeat(10_000)] {
        fs::write(&path, contents).unwrap();
        let error = EmbeddedStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("restore it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
    }
}

#[test]
fn a_place_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["file/store.redb", "."] {
        let error = EmbeddedStore::open(&folder.path().join(path)).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_truncated_file_answers_nothing() {
    let embedded = fixture();
    let path = embedded.folder.path().join("store.redb");
    let store = contract::ready(&embedded).await;
    for number in 0..200 {
        ledger(&store)
            .record(&tenant(), &key(1), event(number))
            .await
            .unwrap();
    }
    drop(store);
    let Embedded { store, folder } = embedded;
    drop(store);
    let half = fs::metadata(&path).unwrap().len() / 2;
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(half)
        .unwrap();
    let Ok(store) = EmbeddedStore::open(&path) else {
        drop(folder);
        return;
    };
    let findings = store.look_up(&tenant(), &[key(1)]).await;
    assert_ne!(
        findings,
        [Finding::Clear],
        "damage is never \"not suppressed\""
    );
}

#[tokio::test]
async fn expired_marks_are_pruned_by_later_writes() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    let options = super::super::ledger::LedgerOptions {
        rules: crate::suppression::EventRules::default(),
        timeout: Duration::from_secs(2),
        remember: Duration::from_millis(1),
    };
    let ledger = super::super::ledger::Ledger::new(Arc::clone(&store), contract::keys(), options);
    for number in 0..100 {
        ledger
            .record(&tenant(), &key(1), event(number))
            .await
            .unwrap();
    }
    let limit = Instant::now() + Duration::from_secs(10);
    let marks = || {
        embedded.store.file.read(|transaction| {
            let seen = transaction.open_table(tables::SEEN)?.len()?;
            Ok((seen, transaction.open_table(tables::EXPIRY)?.len()?))
        })
    };
    for number in 100.. {
        ledger
            .record(&tenant(), &key(1), event(number))
            .await
            .unwrap();
        let (seen, expiry) = marks().unwrap();
        assert_eq!(seen, expiry);
        if seen < 5 {
            break;
        }
        assert!(Instant::now() < limit, "{seen} marks are left");
    }
}

#[tokio::test]
async fn f21_a_failed_write_is_told_and_the_file_is_opened_again() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    let error = embedded
        .store
        .file
        .write(|_| Err::<(), _>(redb::Error::Io(std::io::Error::other("no room"))))
        .unwrap_err();
    assert!(error.to_string().contains("room"), "{error}");
    assert!(embedded.store.file.reopen());
    ledger(&store)
        .record(&tenant(), &key(1), event(2))
        .await
        .unwrap();
    assert_eq!(store.read(&tenant(), &key(1)).await.unwrap().version, 2);
}

#[tokio::test]
async fn a_file_that_is_gone_does_not_come_back_empty() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    fs::remove_file(embedded.folder.path().join("store.redb")).unwrap();
    assert!(!embedded.store.file.reopen());
    assert_eq!(
        store.look_up(&tenant(), &[key(1)]).await,
        [Finding::Unavailable]
    );
    let error = store.health().await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test]
async fn expired_transactions_are_pruned_by_later_writes() {
    let embedded = fixture();
    let store = contract::ready(&embedded).await;
    let count = || {
        embedded.store.file.read(|transaction| {
            let sent = transaction.open_table(returns::SENT)?.len()?;
            Ok((sent, transaction.open_table(returns::SENT_EXPIRY)?.len()?))
        })
    };
    let short = Duration::from_millis(1);
    let limit = Instant::now() + Duration::from_secs(10);
    for number in 0u128.. {
        let id = number.to_be_bytes();
        store
            .put_sent(&tenant(), &id, &[key(1)], short)
            .await
            .unwrap();
        let (sent, expiry) = count().unwrap();
        assert_eq!(sent, expiry);
        if number > 50 && sent < 5 {
            break;
        }
        assert!(Instant::now() < limit, "{sent} are left");
    }
}
