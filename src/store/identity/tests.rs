use std::os::unix::fs::MetadataExt;

use super::super::contract::{key, keys, meta, tenant};
use super::super::embedded::EmbeddedStore;
use super::*;
use crate::suppression::Finding;

struct Place {
    folder: tempfile::TempDir,
    store: EmbeddedStore,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
        Self { folder, store }
    }

    fn identity(&self, create: bool) -> Identity {
        Identity {
            keys: keys(),
            state_file: self.folder.path().join("data/generation"),
            create,
        }
    }

    fn remember(&self, text: &str) {
        let file = self.identity(true).state_file;
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn remembered(&self) -> Option<String> {
        fs::read_to_string(self.identity(true).state_file).ok()
    }

    async fn refused(&self, identity: &Identity) -> StoreError {
        let error = identity.establish(&self.store).await.unwrap_err();
        let findings = self.store.look_up(&tenant(), &[key(1)]).await;
        assert_eq!(findings, [Finding::Unavailable], "refused, yet it answers");
        error
    }
}

#[tokio::test]
async fn a_new_store_is_set_up_and_remembered() {
    let place = Place::new();
    place.identity(true).establish(&place.store).await.unwrap();
    let meta = place.store.meta().await.unwrap().unwrap();
    assert_eq!((meta.schema, meta.generation.len()), (SCHEMA, 32));
    assert_eq!(place.remembered().unwrap().trim(), meta.generation);
    let mode = fs::metadata(place.identity(true).state_file)
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        place.store.look_up(&tenant(), &[key(1)]).await,
        [Finding::Clear]
    );
    let files = fs::read_dir(place.folder.path().join("data"))
        .unwrap()
        .count();
    assert_eq!(files, 1, "no temporary file is left");
    place.identity(false).establish(&place.store).await.unwrap();
}

#[tokio::test]
async fn an_existing_store_is_adopted() {
    let place = Place::new();
    place.store.create_meta(&meta("theirs")).await.unwrap();
    place.identity(false).establish(&place.store).await.unwrap();
    assert_eq!(place.remembered().unwrap().trim(), "theirs");
}

#[tokio::test]
async fn f11_an_emptied_store_is_not_answered_from() {
    let place = Place::new();
    place.remember("the one we knew\n");
    let error = place.refused(&place.identity(true)).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("emptied") && text.contains("data/generation"),
        "{text}"
    );
    assert_eq!(place.store.meta().await.unwrap(), None, "nothing is set up");
}

#[tokio::test]
async fn an_empty_store_is_not_set_up_unless_allowed() {
    let place = Place::new();
    let error = place.refused(&place.identity(false)).await;
    assert!(error.to_string().contains("store.create"), "{error}");
    assert_eq!(place.store.meta().await.unwrap(), None);
}

#[tokio::test]
async fn f11_a_swapped_store_is_not_answered_from() {
    let place = Place::new();
    place.store.create_meta(&meta("another")).await.unwrap();
    place.remember("the one we knew");
    let error = place.refused(&place.identity(true)).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("data/generation"), "{error}");
    assert_eq!(place.remembered().as_deref(), Some("the one we knew"));
}

#[tokio::test]
async fn s8_another_pepper_is_foreign() {
    let place = Place::new();
    place.store.create_meta(&meta("theirs")).await.unwrap();
    let identity = Identity {
        keys: KeyMaker::new(b"another pepper"),
        ..place.identity(true)
    };
    let error = place.refused(&identity).await;
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");
    assert!(error.to_string().contains("pepper"), "{error}");
    assert_eq!(place.remembered(), None);
}

#[tokio::test]
async fn a_newer_layout_is_foreign() {
    let place = Place::new();
    let newer = Meta {
        schema: SCHEMA + 1,
        ..meta("theirs")
    };
    place.store.create_meta(&newer).await.unwrap();
    let error = place.refused(&place.identity(true)).await;
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");
}

#[tokio::test]
async fn an_unreadable_memory_is_not_taken_for_none() {
    let place = Place::new();
    for text in ["", " \n"] {
        place.remember(text);
        let error = place.refused(&place.identity(true)).await;
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
    fs::remove_file(place.identity(true).state_file).unwrap();
    fs::create_dir(place.identity(true).state_file).unwrap();
    place.refused(&place.identity(true)).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_remembered_is_not_used() {
    let place = Place::new();
    fs::write(place.folder.path().join("data"), "in the way").unwrap();
    let error = place.refused(&place.identity(true)).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}
