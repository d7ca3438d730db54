//! The [`LabelBook`] knows the tag of each label, and has the store remember what a tag stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::ledger::Ledger;
use crate::suppression::Tenant;
use crate::token::Label;

/// How many labels are remembered in memory: campaigns that are on their way at the same time.
const BOOK_LIMIT: usize = 4096;

/// How many tags are tried for one label. Two labels share a tag by chance, once in billions.
const ATTEMPT_LIMIT: u32 = 8;

/// How long a store that did not answer is not asked again: every message asks, some of them twice.
const PAUSE: Duration = Duration::from_secs(1);

/// Tags by label.
#[derive(Debug)]
pub struct LabelBook {
    ledger: Arc<Ledger>,
    patience: Duration,
    known: Mutex<HashMap<(Tenant, Label), Known>>,
    /// When a label could last not be recorded; none once one could.
    failed: Mutex<Option<Instant>>,
}

/// A label that is recorded.
#[derive(Debug, Clone, Copy)]
struct Known {
    tag: u32,
    /// When the store was last told of it.
    at: Instant,
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
            failed: Mutex::default(),
        }
    }

    /// The tag of a label, 0 for an empty one; none if the store did not take it in time.
    ///
    /// A tag that is answered is explained by the store, durably: for as long as a token that is made
    /// now is believed (`validity`), and for ever if it has a scope, because unsubscribe addresses
    /// never expire.
    pub async fn tag(&self, tenant: &Tenant, label: Label, validity: Duration) -> Option<u32> {
        if label.is_empty() {
            return Some(0);
        }
        // Kept for twice the time and told again after half of it.
        let keep = label.scope.is_none().then(|| validity.saturating_mul(2));
        let entry = (tenant.clone(), label);
        let known = lock(&self.known).get(&entry).copied();
        let is_fresh = |known: Known| keep.is_none() || known.at.elapsed() < validity;
        if let Some(known) = known.filter(|known| is_fresh(*known)) {
            return Some(known.tag);
        }
        let stale = known.map(|known| known.tag);
        if lock(&self.failed).is_some_and(|at| at.elapsed() < PAUSE) {
            return stale;
        }
        let at = Instant::now();
        let recorded = timeout(self.patience, self.record(tenant, &entry.1, keep)).await;
        let tag = match recorded {
            Ok(Ok(tag)) => tag,
            Ok(Err(error)) => {
                self.fail(&error);
                return stale;
            }
            Err(_late) => {
                self.fail(&StoreError::Unavailable("no answer in time".into()));
                return stale;
            }
        };
        *lock(&self.failed) = None;
        let mut known = lock(&self.known);
        if known.len() >= BOOK_LIMIT {
            known.clear();
        }
        known.insert(entry, Known { tag, at });
        Some(tag)
    }

    async fn record(
        &self,
        tenant: &Tenant,
        label: &Label,
        keep: Option<Duration>,
    ) -> Result<u32, StoreError> {
        let text = label.text();
        for attempt in 0..ATTEMPT_LIMIT {
            let tag = label.tag(attempt);
            // Where another label has this tag, the next attempt has another.
            if self.ledger.put_label(tenant, tag, &text, keep).await? == text {
                return Ok(tag);
            }
        }
        Err(StoreError::Corrupt("no tag is free".to_owned()))
    }

    /// Tells it once for each outage, as every message asks again.
    fn fail(&self, error: &StoreError) {
        if lock(&self.failed).replace(Instant::now()).is_none() {
            tracing::warn!(%error, "a label could not be recorded; what comes back will name no campaign");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::ledger::LedgerOptions;
    use crate::store::{Meta, Store};
    use crate::suppression::{EventRules, KeyMaker};

    const PATIENCE: Duration = Duration::from_secs(10);
    const DAY: Duration = Duration::from_secs(24 * 3600);

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
        assert_eq!(book.tag(&tenant, Label::default(), DAY).await, Some(0));
        for _ in 0..2 {
            let tag = book.tag(&tenant, label("spring"), DAY).await.unwrap();
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
        ledger
            .put_label(&tenant, taken, &text, Some(DAY))
            .await
            .unwrap();
        let tag = book.tag(&tenant, label("spring"), DAY).await;
        assert_eq!(tag, Some(label("spring").tag(1)));
    }

    #[tokio::test]
    async fn a_label_without_a_scope_is_told_again_and_expires() {
        let folder = tempfile::tempdir().unwrap();
        let (book, ledger) = book(&folder, true).await;
        let tenant = Tenant::default();
        let scoped = Label {
            scope: Some("list:news.example.com".to_owned()),
            ..label("spring")
        };
        for label in [label("spring"), scoped.clone()] {
            for _ in 0..2 {
                let tag = book.tag(&tenant, label.clone(), Duration::ZERO).await;
                assert_eq!(tag, Some(label.tag(0)));
            }
        }
        let gone = ledger.label(&tenant, label("spring").tag(0)).await.unwrap();
        assert_eq!(gone, None);
        let kept = ledger.label(&tenant, scoped.tag(0)).await.unwrap();
        assert_eq!(kept, Some(scoped.text()));
    }

    #[tokio::test]
    async fn a_store_that_failed_is_left_alone_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let (book, ledger) = book(&folder, true).await;
        let tenant = Tenant::default();
        let known = book.tag(&tenant, label("spring"), DAY).await;
        let error = StoreError::Unavailable("down".to_owned());
        // A machine that stood still for a second may have asked again meanwhile.
        let mut asked = 0;
        loop {
            book.fail(&error);
            asked += 1;
            let tag = book.tag(&tenant, label(&format!("new {asked}")), DAY).await;
            if tag.is_none() {
                break;
            }
        }
        let text = ledger
            .label(&tenant, label(&format!("new {asked}")).tag(0))
            .await;
        assert_eq!(text.unwrap(), None, "it was not asked");
        assert_eq!(book.tag(&tenant, label("spring"), DAY).await, known);
    }

    #[tokio::test]
    async fn a_label_that_was_not_recorded_has_no_tag() {
        let folder = tempfile::tempdir().unwrap();
        let (book, _ledger) = book(&folder, false).await;
        let tag = book.tag(&Tenant::default(), label("spring"), DAY).await;
        assert_eq!(tag, None);
    }
}
