//! The [`LabelBook`] knows the tag of each label, and has the store remember what a tag stands for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::ledger::Ledger;
use crate::suppression::Tenant;
use crate::token::Label;

/// How many labels are remembered in memory: campaigns that are on their way at the same time.
const BOOK_LIMIT: usize = 4096;

/// How many tags are tried for one label. Two labels share a tag by chance, once in billions.
const ATTEMPT_LIMIT: u32 = 8;

/// Tags by label.
#[derive(Debug)]
pub struct LabelBook {
    ledger: Arc<Ledger>,
    patience: Duration,
    known: Mutex<HashMap<(Tenant, Label), u32>>,
    /// Whether the last label could not be recorded.
    failing: AtomicBool,
}

impl LabelBook {
    /// A book whose labels this ledger keeps. A client waits for a label that is new at RCPT, so it
    /// may take no longer than `patience`.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, patience: Duration) -> Self {
        Self {
            ledger,
            patience,
            known: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// The tag of a label, 0 for an empty one; none if the store did not take it in time.
    ///
    /// A tag that is answered is explained by the store, durably.
    pub async fn tag(&self, tenant: &Tenant, label: Label) -> Option<u32> {
        if label.is_empty() {
            return Some(0);
        }
        let entry = (tenant.clone(), label);
        if let Some(tag) = self.lock().get(&entry) {
            return Some(*tag);
        }
        let recorded = timeout(self.patience, self.record(tenant, &entry.1)).await;
        let tag = match recorded {
            Ok(Ok(tag)) => {
                self.failing.store(false, Ordering::Relaxed);
                tag
            }
            Ok(Err(error)) => return self.fail(&error),
            Err(_late) => return self.fail(&StoreError::Unavailable("no answer in time".into())),
        };
        let mut known = self.lock();
        if known.len() >= BOOK_LIMIT {
            known.clear();
        }
        known.insert(entry, tag);
        Some(tag)
    }

    async fn record(&self, tenant: &Tenant, label: &Label) -> Result<u32, StoreError> {
        let text = label.text();
        for attempt in 0..ATTEMPT_LIMIT {
            let tag = label.tag(attempt);
            // Where another label has this tag, the next attempt has another.
            if self.ledger.put_label(tenant, tag, &text).await? == text {
                return Ok(tag);
            }
        }
        Err(StoreError::Corrupt("no tag is free".to_owned()))
    }

    /// Tells it once for each outage, as every message asks again.
    fn fail(&self, error: &StoreError) -> Option<u32> {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "a label could not be recorded; what comes back will name no campaign");
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Tenant, Label), u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::ledger::LedgerOptions;
    use crate::store::{Meta, Store};
    use crate::suppression::{EventRules, KeyMaker};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A book over a new store; the store answers once it is told that it is the right one.
    async fn book(folder: &tempfile::TempDir, is_right: bool) -> (LabelBook, Arc<Ledger>) {
        let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
        let meta = Meta {
            schema: crate::store::SCHEMA,
            key_check: "check".to_owned(),
            generation: "one".to_owned(),
        };
        store.create_meta(&meta).await.unwrap();
        store.expect_generation(if is_right { "one" } else { "another" });
        let options = LedgerOptions {
            rules: EventRules::default(),
            timeout: PATIENCE,
            remember: PATIENCE,
        };
        let keys = KeyMaker::new(b"0123456789abcdef");
        let ledger = Arc::new(Ledger::new(Arc::new(store), keys, options));
        (LabelBook::new(Arc::clone(&ledger), PATIENCE), ledger)
    }

    fn label(campaign: &str) -> Label {
        Label {
            campaign: Some(campaign.to_owned()),
            ..Label::default()
        }
    }

    #[tokio::test]
    async fn a_tag_is_explained_by_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (book, ledger) = book(&folder, true).await;
        let tenant = Tenant::default();
        assert_eq!(book.tag(&tenant, Label::default()).await, Some(0));
        for _ in 0..2 {
            let tag = book.tag(&tenant, label("spring")).await.unwrap();
            assert_eq!(tag, label("spring").tag(0));
            let text = ledger.label(&tenant, tag).await.unwrap();
            assert_eq!(Label::read(&text.unwrap()), label("spring"));
        }
    }

    #[tokio::test]
    async fn two_labels_never_share_a_tag() {
        let folder = tempfile::tempdir().unwrap();
        let (book, ledger) = book(&folder, true).await;
        let tenant = Tenant::default();
        let (taken, text) = (label("spring").tag(0), label("other").text());
        ledger.put_label(&tenant, taken, &text).await.unwrap();
        let tag = book.tag(&tenant, label("spring")).await;
        assert_eq!(tag, Some(label("spring").tag(1)));
    }

    #[tokio::test]
    async fn a_label_that_was_not_recorded_has_no_tag() {
        let folder = tempfile::tempdir().unwrap();
        let (book, _ledger) = book(&folder, false).await;
        assert_eq!(book.tag(&Tenant::default(), label("spring")).await, None);
    }
}
