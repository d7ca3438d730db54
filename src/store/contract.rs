//! The *contract*: what every adapter of the port does, run for each of them.
//!
//! An adapter gives a [`Fixture`] and lets [`contract_tests!`] make one test of each case.

mod bulk;
mod lessons;
mod returns;
mod samples;
mod values;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::bulk::{
    a_bulk_is_recorded_like_single_events, a_bulk_keeps_a_history_within_its_limit,
    a4_a_bulk_told_twice_changes_nothing, many_commits_have_an_outcome_each,
    of_many_bulks_at_once_every_event_counts, s1_another_generation_takes_no_bulk,
};
pub(crate) use self::lessons::{
    a_cause_changes_only_from_what_was_known, a_lesson_is_held_once_and_in_order,
    a_lesson_that_is_held_needs_no_room, a_recipient_counts_once_for_a_cause_in_its_window,
    a_tenant_sees_its_own_lessons_only, an_event_is_seen_when_it_is_committed,
    every_lesson_command, hold_one, lesson, notes_come_back_in_order_and_in_pages,
    of_many_who_hold_a_cause_all_lessons_are_there,
    s1_another_generation_has_no_lessons_and_takes_none,
    s4_a_cause_that_cannot_be_read_is_not_free, what_was_relayed_is_counted_in_its_window,
};
pub(crate) use self::returns::{
    a_label_keeps_its_first_text, a_label_lasts_as_long_as_it_is_used, a_set_of_recipients_expires,
    b10_a_set_of_recipients_is_read_as_written, of_many_who_name_a_tag_one_wins,
    s1_another_generation_has_no_sets_and_takes_none, s4_a_set_that_cannot_be_read_is_not_none,
};
pub(crate) use self::samples::{consent, event, full_record, key, keys, ledger, meta, tenant};

pub(crate) use self::values::{
    every_field_is_read_as_written, s4_what_cannot_be_read_is_never_clear,
    what_is_too_large_is_refused,
};
use super::ledger::Ledger;
use super::lessons::CauseId;
use super::{Commit, CommitOutcome, HISTORY_LIMIT, HistoryEntry, Store, StoreError, TransactionId};
use crate::suppression::event::Effect;
use crate::suppression::{Event, Finding, RecipientKey, Record, Tenant};

/// How an adapter lets the suite reach behind it.
pub(crate) trait Fixture {
    /// An empty store that was not set up.
    fn store(&self) -> Arc<dyn Store>;
    /// Puts a raw value into a field of a record, past every check; no value removes the field.
    fn set_field(&self, tenant: &Tenant, key: &RecipientKey, field: &str, value: Option<&[u8]>);
    /// Puts raw fields where the recipients of a transaction are kept, in place of all others.
    fn set_sent(&self, tenant: &Tenant, id: &TransactionId, fields: &[(&str, &str)]);
    /// Puts a raw text where it is kept what is known of a cause.
    fn set_hold(&self, tenant: &Tenant, cause: &CauseId, text: &str);
    /// Changes the generation that the store holds; none removes what it says about itself.
    fn set_generation(&self, generation: Option<&str>);
}

/// Makes a test of each case of the contract; the argument is a function that makes a fixture.
macro_rules! contract_tests {
    ($fixture:path: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::store::contract::$case(&$fixture()).await;
            }
        )*
    };
    ($fixture:path) => {
        $crate::store::contract::contract_tests!($fixture:
            nothing_is_answered_before_a_generation_is_expected,
            findings_come_in_the_order_of_the_keys,
            tenants_share_nothing,
            a_version_that_is_not_current_is_a_conflict,
            b4_an_event_counts_once_for_each_recipient,
            an_event_is_forgotten_when_its_time_is_over,
            a_history_is_newest_first_and_capped,
            f11_a_missing_or_changed_generation_answers_nothing,
            of_many_who_set_the_store_up_one_wins,
            s7_the_same_event_told_at_once_counts_once,
            different_events_at_once_all_count,
            s4_what_cannot_be_read_is_never_clear,
            every_field_is_read_as_written,
            what_is_too_large_is_refused,
            b10_a_set_of_recipients_is_read_as_written,
            a_set_of_recipients_expires,
            a_label_keeps_its_first_text,
            a_label_lasts_as_long_as_it_is_used,
            of_many_who_name_a_tag_one_wins,
            s1_another_generation_has_no_sets_and_takes_none,
            s4_a_set_that_cannot_be_read_is_not_none,
            an_event_is_seen_when_it_is_committed,
            notes_come_back_in_order_and_in_pages,
            what_was_relayed_is_counted_in_its_window,
            a_recipient_counts_once_for_a_cause_in_its_window,
            a_cause_changes_only_from_what_was_known,
            a_lesson_is_held_once_and_in_order,
            a_lesson_that_is_held_needs_no_room,
            of_many_who_hold_a_cause_all_lessons_are_there,
            a_tenant_sees_its_own_lessons_only,
            s1_another_generation_has_no_lessons_and_takes_none,
            s4_a_cause_that_cannot_be_read_is_not_free,
            many_commits_have_an_outcome_each,
            s1_another_generation_takes_no_bulk,
            a_bulk_keeps_a_history_within_its_limit,
            a_bulk_is_recorded_like_single_events,
            a4_a_bulk_told_twice_changes_nothing,
            of_many_bulks_at_once_every_event_counts,
        );
    };
}
pub(crate) use contract_tests;

const GENERATION: &str = "0123456789abcdef0123456789abcdef";

fn entry(number: u64) -> HistoryEntry {
    HistoryEntry {
        event: event(number),
        effect: Effect::Changed,
        decided: None,
    }
}

fn named(address: &str) -> Record {
    Record {
        address: Some(address.to_owned()),
        ..Record::default()
    }
}

/// The fixture's store, set up and expected.
pub(crate) async fn ready(fixture: &impl Fixture) -> Arc<dyn Store> {
    let store = fixture.store();
    store.create_meta(&meta(GENERATION)).await.unwrap();
    store.expect_generation(GENERATION);
    store
}

struct Write<'a> {
    key: RecipientKey,
    version: u64,
    record: &'a Record,
    number: u64,
    remember: Duration,
}

impl<'a> Write<'a> {
    fn new(number: u64, version: u64, record: &'a Record) -> Self {
        Self {
            key: key(1),
            version,
            record,
            number,
            remember: Duration::from_secs(3600),
        }
    }

    async fn to(&self, store: &Arc<dyn Store>) -> Result<CommitOutcome, StoreError> {
        let commit = Commit {
            tenant: &tenant(),
            key: &self.key,
            expected_version: self.version,
            record: self.record,
            entry: &entry(self.number),
            remember: self.remember,
        };
        store.commit(&commit).await
    }
}

pub(crate) async fn nothing_is_answered_before_a_generation_is_expected(fixture: &impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.meta().await.unwrap(), None);
    store.create_meta(&meta(GENERATION)).await.unwrap();
    assert_eq!(store.meta().await.unwrap(), Some(meta(GENERATION)));
    assert_eq!(
        store.look_up(&tenant(), &[key(1), key(2)]).await,
        [Finding::Unavailable, Finding::Unavailable]
    );
    assert!(store.read(&tenant(), &key(1)).await.is_err());
    assert!(store.health().await.is_err());
    let record = named("a@example.com");
    assert!(Write::new(1, 0, &record).to(&store).await.is_err());
    store.expect_generation(GENERATION);
    store.health().await.unwrap();
    assert_eq!(store.look_up(&tenant(), &[]).await, []);
    assert_eq!(store.look_up(&tenant(), &[key(1)]).await, [Finding::Clear]);
}

pub(crate) async fn findings_come_in_the_order_of_the_keys(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    Write::new(1, 0, &record).to(&store).await.unwrap();
    let known = Finding::known(&record);
    assert_eq!(
        store
            .look_up(&tenant(), &[key(2), key(1), key(3), key(1)])
            .await,
        [Finding::Clear, known.clone(), Finding::Clear, known]
    );
}

pub(crate) async fn tenants_share_nothing(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    Write::new(1, 0, &record).to(&store).await.unwrap();
    let other = Tenant::new("other").unwrap();
    assert_eq!(store.look_up(&other, &[key(1)]).await, [Finding::Clear]);
    assert!(store.history(&other, &key(1), 10).await.unwrap().is_empty());
}

pub(crate) async fn a_version_that_is_not_current_is_a_conflict(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    assert_eq!(store.read(&tenant(), &key(1)).await.unwrap().version, 0);
    let (first, second) = (named("first@example.com"), named("second@example.com"));
    let outcome = Write::new(1, 1, &first).to(&store).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Conflict);
    let outcome = Write::new(2, 0, &first).to(&store).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Committed);
    let outcome = Write::new(3, 0, &second).to(&store).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Conflict);
    let outcome = Write::new(3, 1, &second).to(&store).await.unwrap();
    assert_eq!(
        outcome,
        CommitOutcome::Committed,
        "a conflict leaves no dedupe mark"
    );
    let read = store.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!((read.version, read.record), (2, second));
    assert_eq!(
        store.history(&tenant(), &key(1), 10).await.unwrap().len(),
        2
    );
}

pub(crate) async fn b4_an_event_counts_once_for_each_recipient(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let (first, second) = (named("first@example.com"), named("second@example.com"));
    Write::new(1, 0, &first).to(&store).await.unwrap();
    for version in [0, 1, 7] {
        let outcome = Write::new(1, version, &second).to(&store).await.unwrap();
        assert_eq!(
            outcome,
            CommitOutcome::Duplicate,
            "whatever version is expected"
        );
    }
    let read = store.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!((read.version, read.record), (1, first));
    assert_eq!(
        store.history(&tenant(), &key(1), 10).await.unwrap().len(),
        1
    );
    let other = Write {
        key: key(2),
        ..Write::new(1, 0, &second)
    };
    assert_eq!(other.to(&store).await.unwrap(), CommitOutcome::Committed);
}

pub(crate) async fn an_event_is_forgotten_when_its_time_is_over(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    for (number, remember) in [(1, Duration::ZERO), (2, Duration::from_millis(20))] {
        let write = Write {
            key: key(u8::try_from(number).unwrap()),
            remember,
            ..Write::new(number, 0, &record)
        };
        assert_eq!(write.to(&store).await.unwrap(), CommitOutcome::Committed);
        let again = Write {
            version: 1,
            ..write
        };
        let limit = Instant::now() + Duration::from_secs(10);
        while again.to(&store).await.unwrap() == CommitOutcome::Duplicate {
            assert!(Instant::now() < limit, "still remembered");
        }
    }
    let long = Write {
        remember: Duration::MAX,
        ..Write::new(3, 2, &record)
    };
    assert_eq!(long.to(&store).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(long.to(&store).await.unwrap(), CommitOutcome::Duplicate);
}

pub(crate) async fn a_history_is_newest_first_and_capped(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    let count = HISTORY_LIMIT as u64 + 5;
    for number in 0..count {
        let outcome = Write::new(number, number, &record).to(&store).await;
        assert_eq!(outcome.unwrap(), CommitOutcome::Committed);
    }
    let newest = store.history(&tenant(), &key(1), 3).await.unwrap();
    assert_eq!(
        newest,
        [entry(count - 1), entry(count - 2), entry(count - 3)]
    );
    let all = store.history(&tenant(), &key(1), usize::MAX).await.unwrap();
    assert_eq!(all.len(), HISTORY_LIMIT);
    assert_eq!(all.last(), Some(&entry(5)));
    assert!(
        store
            .history(&tenant(), &key(1), 0)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .history(&tenant(), &key(9), 5)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn f11_a_missing_or_changed_generation_answers_nothing(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    Write::new(1, 0, &record).to(&store).await.unwrap();
    for generation in [None, Some("another"), Some("")] {
        fixture.set_generation(generation);
        assert_eq!(
            store.look_up(&tenant(), &[key(1), key(2)]).await,
            [Finding::Unavailable, Finding::Unavailable],
            "{generation:?}"
        );
        assert!(store.read(&tenant(), &key(1)).await.is_err());
        assert!(store.history(&tenant(), &key(1), 1).await.is_err());
        assert!(store.health().await.is_err());
        let error = Write::new(2, 1, &record).to(&store).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    }
    fixture.set_generation(Some(GENERATION));
    store.health().await.unwrap();
    let read = store.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!((read.version, read.record), (1, record));
}

pub(crate) async fn of_many_who_set_the_store_up_one_wins(fixture: &impl Fixture) {
    let store = fixture.store();
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let own = meta(&format!("generation {number}"));
                store.create_meta(&own).await.unwrap()
            })
        })
        .collect();
    let there = tasks_done(tasks).await;
    assert_eq!(store.meta().await.unwrap().as_ref(), there.first());
    assert!(there.iter().all(|meta| Some(meta) == there.first()));
}

pub(crate) async fn s7_the_same_event_told_at_once_counts_once(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let ledger = Arc::new(ledger(&store));
    let effects = tasks_done((0..32).map(|_| record(&ledger, event(1))).collect()).await;
    let counted = effects.iter().filter(|effect| effect.is_some()).count();
    assert_eq!(counted, 1, "{effects:?}");
    let read = ledger.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!(read.record.soft.unwrap().count, 1);
    assert_eq!(
        ledger.history(&tenant(), &key(1), 50).await.unwrap().len(),
        1
    );
}

pub(crate) async fn different_events_at_once_all_count(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let ledger = Arc::new(ledger(&store));
    let tasks = (0..32)
        .map(|number| record(&ledger, event(number)))
        .collect();
    let effects = tasks_done(tasks).await;
    assert!(
        effects
            .iter()
            .all(|effect| *effect == Some(Effect::Changed))
    );
    let read = ledger.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!(read.version, 32);
    assert_eq!(read.record.soft.unwrap().count, 32);
    assert_eq!(
        ledger.history(&tenant(), &key(1), 50).await.unwrap().len(),
        32
    );
}

fn record(ledger: &Arc<Ledger>, event: Event) -> tokio::task::JoinHandle<Option<Effect>> {
    let ledger = Arc::clone(ledger);
    tokio::spawn(async move {
        let recorded = ledger.record(&tenant(), &key(1), event).await.unwrap();
        assert!(recorded.effect.is_none() || recorded.record.soft.is_some());
        recorded.effect
    })
}

async fn tasks_done<T>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}
