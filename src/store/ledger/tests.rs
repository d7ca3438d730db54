use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::contract::{event, key, keys, tenant};
use super::super::{BoxFuture, Meta};
use super::*;
use crate::store::lessons::{CauseId, HoldChange, Lesson, Notes, Pending, Place, Tallied, Tally};
use crate::suppression::EventId;
use crate::suppression::event::Coupling;
use crate::timestamp::Timestamp;

/// A store that does what it is told to do next; told nothing, it never answers.
#[derive(Debug, Default)]
struct Scripted {
    findings: Mutex<VecDeque<Vec<Finding>>>,
    outcomes: Mutex<VecDeque<CommitOutcome>>,
    written: Mutex<Vec<(Record, HistoryEntry)>>,
    look_ups: AtomicUsize,
}

impl Scripted {
    fn finding(findings: impl IntoIterator<Item = Vec<Finding>>) -> Arc<Self> {
        Arc::new(Self {
            findings: Mutex::new(findings.into_iter().collect()),
            ..Self::default()
        })
    }

    fn committing(outcomes: impl IntoIterator<Item = CommitOutcome>) -> Arc<Self> {
        Arc::new(Self {
            outcomes: Mutex::new(outcomes.into_iter().collect()),
            ..Self::default()
        })
    }
}

fn never<'a, T: Send + 'a>() -> BoxFuture<'a, T> {
    Box::pin(std::future::pending())
}

fn now<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Store for Scripted {
    fn look_up<'a>(&'a self, _: &'a Tenant, _: &'a [RecipientKey]) -> BoxFuture<'a, Vec<Finding>> {
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        self.findings
            .lock()
            .unwrap()
            .pop_front()
            .map_or_else(never, now)
    }

    fn read<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a RecipientKey,
    ) -> BoxFuture<'a, Result<Versioned, StoreError>> {
        now(Ok(Versioned::default()))
    }

    fn commit<'a>(
        &'a self,
        commit: &'a Commit<'a>,
    ) -> BoxFuture<'a, Result<CommitOutcome, StoreError>> {
        let written = (commit.record.clone(), commit.entry.clone());
        self.written.lock().unwrap().push(written);
        match self.outcomes.lock().unwrap().pop_front() {
            Some(outcome) => now(Ok(outcome)),
            None => never(),
        }
    }

    fn history<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a RecipientKey,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<HistoryEntry>, StoreError>> {
        never()
    }

    fn meta(&self) -> BoxFuture<'_, Result<Option<Meta>, StoreError>> {
        never()
    }

    fn create_meta<'a>(&'a self, _: &'a Meta) -> BoxFuture<'a, Result<Meta, StoreError>> {
        never()
    }

    fn put_sent<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a TransactionId,
        _: &'a [RecipientKey],
        _: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        never()
    }

    fn sent<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<Vec<RecipientKey>>, StoreError>> {
        never()
    }

    fn put_label<'a>(
        &'a self,
        _: &'a Tenant,
        _: u32,
        _: &'a str,
        _: Option<Duration>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        never()
    }

    fn label<'a>(
        &'a self,
        _: &'a Tenant,
        _: u32,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        never()
    }

    fn expect_generation(&self, _: &str) {}

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        never()
    }
}

impl Lessons for Scripted {
    fn is_seen<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a RecipientKey,
        _: &'a EventId,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        never()
    }

    fn note<'a>(&'a self, _: &'a Tenant, _: &'a Lesson) -> BoxFuture<'a, Result<(), StoreError>> {
        never()
    }

    fn notes<'a>(
        &'a self,
        _: &'a Tenant,
        _: Place,
        _: usize,
    ) -> BoxFuture<'a, Result<Notes, StoreError>> {
        never()
    }

    fn count_relayed<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a [(String, u64)],
        _: Timestamp,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        never()
    }

    fn tally<'a>(&'a self, _: &'a Tally<'a>) -> BoxFuture<'a, Result<Tallied, StoreError>> {
        never()
    }

    fn holds<'a>(&'a self, _: &'a Tenant) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>> {
        never()
    }

    fn change_hold<'a>(&'a self, _: &'a HoldChange<'a>) -> BoxFuture<'a, Result<bool, StoreError>> {
        never()
    }

    fn held<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a CauseId,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Lesson>, StoreError>> {
        never()
    }

    fn release<'a>(
        &'a self,
        _: &'a Tenant,
        _: &'a CauseId,
        _: &'a [EventId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        never()
    }
}

fn ledger(store: &Arc<Scripted>) -> Ledger {
    Ledger::new(
        Arc::<Scripted>::clone(store),
        keys(),
        LedgerOptions {
            rules: EventRules::default(),
            timeout: Duration::from_millis(20),
            remember: Duration::from_secs(60),
        },
    )
}

const UNAVAILABLE: Finding = Finding::Unavailable;

#[tokio::test]
async fn s1_a_store_that_does_not_answer_is_a_finding_in_time() {
    let store = Scripted::finding([]);
    let begin = Instant::now();
    let findings = ledger(&store).look_up(&tenant(), &[key(1), key(2)]).await;
    assert_eq!(findings, [UNAVAILABLE, UNAVAILABLE]);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(
        store.look_ups.load(Ordering::Relaxed),
        1,
        "no time for another"
    );
}

#[tokio::test]
async fn s1_what_failed_at_once_is_asked_once_more() {
    let store = Scripted::finding([
        vec![UNAVAILABLE, UNAVAILABLE],
        vec![Finding::Clear, UNAVAILABLE],
    ]);
    let findings = ledger(&store).look_up(&tenant(), &[key(1), key(2)]).await;
    assert_eq!(findings, [Finding::Clear, UNAVAILABLE]);
    let store = Scripted::finding(vec![vec![UNAVAILABLE]; 5]);
    let findings = ledger(&store).look_up(&tenant(), &[key(1)]).await;
    assert_eq!(findings, [UNAVAILABLE]);
    assert_eq!(store.look_ups.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn s1_the_second_try_has_the_same_deadline() {
    let store = Scripted::finding([vec![UNAVAILABLE]]);
    let begin = Instant::now();
    let findings = ledger(&store).look_up(&tenant(), &[key(1)]).await;
    assert_eq!(findings, [UNAVAILABLE]);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_wrong_number_of_findings_is_no_answer() {
    let store = Scripted::finding([vec![Finding::Clear], vec![Finding::Clear; 3]]);
    let findings = ledger(&store).look_up(&tenant(), &[key(1), key(2)]).await;
    assert_eq!(findings, [UNAVAILABLE, UNAVAILABLE]);
}

#[tokio::test]
async fn no_keys_are_no_question() {
    let store = Scripted::finding([]);
    assert_eq!(ledger(&store).look_up(&tenant(), &[]).await, []);
    assert_eq!(store.look_ups.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_conflict_is_thought_over_again() {
    let mut outcomes = vec![CommitOutcome::Conflict; 31];
    outcomes.push(CommitOutcome::Committed);
    let store = Scripted::committing(outcomes);
    let recorded = ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap();
    assert_eq!(recorded.effect, Some(Effect::Changed));
    assert_eq!(recorded.record.soft.unwrap().count, 1);
}

#[tokio::test]
async fn conflicts_without_end_are_given_up() {
    let store = Scripted::committing(vec![CommitOutcome::Conflict; 1000]);
    let error = ledger(&store)
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("try again"), "{error}");
    assert_eq!(store.written.lock().unwrap().len(), 64);
}

#[tokio::test]
async fn a_write_that_is_not_answered_is_an_error_in_time() {
    let store = Scripted::committing([]);
    let ledger = ledger(&store);
    let begin = Instant::now();
    let error = ledger
        .record(&tenant(), &key(1), event(1))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(ledger.health().await.is_err());
    assert!(ledger.history(&tenant(), &key(1), 1).await.is_err());
}

#[tokio::test]
async fn what_changes_nothing_is_kept_in_the_history() {
    let store = Scripted::committing([CommitOutcome::Committed]);
    let event = Event {
        change: crate::suppression::Change::Unblock {
            reason: "r".repeat(10_000),
        },
        ..event(1)
    };
    let recorded = ledger(&store)
        .record(&tenant(), &key(1), event)
        .await
        .unwrap();
    assert_eq!(recorded.effect, Some(Effect::AlreadySo));
    let written = store.written.lock().unwrap();
    assert_eq!(written[0].1.effect, Effect::AlreadySo);
    let size = serde_json::to_string(&written[0].1).unwrap().len();
    assert!(size < 2000, "texts are cut: {size}");
}

#[tokio::test]
async fn new_rules_hold_for_the_next_event() {
    let store = Scripted::committing([CommitOutcome::Committed; 2]);
    let ledger = ledger(&store);
    let recorded = ledger.record(&tenant(), &key(1), event(1)).await.unwrap();
    assert_eq!(recorded.record.do_not_email, None);
    ledger.set_rules(EventRules {
        soft_limit: 1,
        auto_do_not_email: vec![Coupling::SoftBounce],
        ..EventRules::default()
    });
    let recorded = ledger.record(&tenant(), &key(1), event(2)).await.unwrap();
    assert!(recorded.record.do_not_email.is_some());
}
