//! A file of another layout is told apart from a new one, a damaged one and ours.

use redb::{Database, TableDefinition};

use super::*;

/// As the first layout had it.
const RECORDS: TableDefinition<'_, (&str, &[u8; 16]), &[u8]> = TableDefinition::new("records");
const LAYOUT: TableDefinition<'_, (), u32> = TableDefinition::new("layout");

fn check_refused(write: impl FnOnce(&redb::WriteTransaction)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    write(&transaction);
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    for _ in 0..2 {
        let error = EmbeddedStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
        assert!(error.to_string().contains("another version"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap().len(), before.len());
}

#[test]
fn a_file_of_the_first_layout_is_refused() {
    check_refused(|transaction| {
        let mut records = transaction.open_table(RECORDS).unwrap();
        let value = br#"{"version":"1"}"#.as_slice();
        records.insert(("default", &[1; 16]), value).unwrap();
    });
}

#[test]
fn a_file_of_a_later_layout_is_refused() {
    check_refused(|transaction| {
        let mut layout = transaction.open_table(LAYOUT).unwrap();
        layout.insert((), u32::MAX).unwrap();
    });
}

#[test]
fn a_file_without_a_table_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(Database::create(&path).unwrap());
    drop(EmbeddedStore::open(&path).unwrap());
    EmbeddedStore::open(&path).unwrap();
}
