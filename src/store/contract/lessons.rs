//! What every adapter does with lessons: notes, and what the brake on learning counts and holds.

use std::sync::Arc;
use std::time::Duration;

use super::{Fixture, GENERATION, event, key, ledger, ready, tasks_done, tenant};
use crate::store::lessons::{
    CauseId, HOLD_LIMIT, Hold, HoldChange, HoldOutcome, Lesson, Pending, Place, RelayedBatch,
    Tallied, Tally,
};
use crate::store::{Store, StoreError};
use crate::suppression::{EventId, Tenant};
use crate::timestamp::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn cause() -> CauseId {
    CauseId::of(&[b"a cause"])
}

pub(crate) fn lesson(number: u64) -> Lesson {
    Lesson {
        key: key(1),
        event: event(number),
        provider: "example.com".to_owned(),
        host: "mx.example.net".to_owned(),
    }
}

fn hold(recipients: u64) -> Hold {
    Hold {
        provider: "example.com".to_owned(),
        host: "mx.example.net".to_owned(),
        words: "user \"a\" unknown é".to_owned(),
        since: NOW,
        recipients,
        relayed: 3,
        free_until: None,
    }
}

fn pending(hold: &Hold, held: u64) -> Pending {
    Pending {
        cause: cause(),
        hold: hold.clone(),
        held,
    }
}

async fn tally(store: &dyn Store, number: u8, now: Timestamp) -> Tallied {
    let tally = Tally {
        tenant: &tenant(),
        cause: &cause(),
        key: &key(number),
        provider: "example.com",
        now,
        window: HOUR,
    };
    store.tally(&tally).await.unwrap()
}

async fn relay(
    store: &dyn Store,
    number: u64,
    counts: &[(String, u64)],
    at: Timestamp,
) -> Result<(), StoreError> {
    let batch = RelayedBatch {
        tenant: &tenant(),
        id: &EventId::of(&[b"batch", &number.to_be_bytes()]),
        counts,
        at,
        window: HOUR,
    };
    store.count_relayed(&batch).await
}

/// Holds the first lesson for this cause.
pub(crate) async fn hold_one(store: &dyn Store, cause: &CauseId) {
    let known = (None, Some(&hold(1)));
    let held = outcome(store, cause, known, Some(&lesson(1))).await;
    assert_eq!(held.unwrap(), HoldOutcome::Changed);
}

/// Whether the change was made.
async fn change(
    store: &dyn Store,
    before: Option<&Hold>,
    after: Option<&Hold>,
    lesson: Option<&Lesson>,
) -> Result<bool, StoreError> {
    let outcome = outcome(store, &cause(), (before, after), lesson).await?;
    Ok(outcome != HoldOutcome::Conflict)
}

async fn outcome(
    store: &dyn Store,
    cause: &CauseId,
    (before, after): (Option<&Hold>, Option<&Hold>),
    lesson: Option<&Lesson>,
) -> Result<HoldOutcome, StoreError> {
    let change = HoldChange {
        tenant: &tenant(),
        cause,
        before,
        after,
        lesson,
    };
    store.change_hold(&change).await
}

pub(crate) async fn an_event_is_seen_when_it_is_committed(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let (tenant, id) = (tenant(), event(1).id);
    assert!(!store.is_seen(&tenant, &key(1), &id).await.unwrap());
    let recorded = ledger(&store).record(&tenant, &key(1), event(1)).await;
    recorded.unwrap();
    assert!(store.is_seen(&tenant, &key(1), &id).await.unwrap());
    assert!(!store.is_seen(&tenant, &key(2), &id).await.unwrap());
    let other = event(2).id;
    assert!(!store.is_seen(&tenant, &key(1), &other).await.unwrap());
}

pub(crate) async fn notes_come_back_in_order_and_in_pages(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tenant = tenant();
    let begun = Timestamp::now().minus(Duration::from_secs(1));
    let empty = store.notes(&tenant, Place::at(begun), 10).await.unwrap();
    assert!(empty.lessons.is_empty() && empty.next.is_none());
    for number in 0..25 {
        store.note(&tenant, &lesson(number)).await.unwrap();
    }
    let mut found = Vec::new();
    let mut from = Some(Place::at(begun));
    while let Some(place) = from {
        let page = store.notes(&tenant, place, 10).await.unwrap();
        assert!(page.lessons.len() <= 10);
        found.extend(page.lessons);
        from = page.next;
    }
    assert_eq!(found, (0..25).map(lesson).collect::<Vec<_>>());
    let later = Timestamp::now().plus(HOUR);
    let page = store.notes(&tenant, Place::at(later), 10).await.unwrap();
    assert_eq!((page.lessons, page.next), (Vec::new(), None));
}

pub(crate) async fn what_was_relayed_is_counted_in_its_window(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let counts = |count| [("example.com".to_owned(), count), ("other".to_owned(), 9)];
    for (count, ago) in [(5, 0), (7, 30), (11, 59), (100, 120)] {
        let at = NOW.minus(Duration::from_secs(ago * 60));
        // Told twice, as if no answer had come.
        for _ in 0..2 {
            let told = relay(store.as_ref(), count, &counts(count), at).await;
            told.unwrap();
        }
    }
    let told = relay(store.as_ref(), 1, &counts(1), NOW).await;
    told.unwrap();
    assert_eq!(tally(store.as_ref(), 1, NOW).await.relayed, 24);
    let later = NOW.plus(Duration::from_secs(15 * 60));
    assert_eq!(tally(store.as_ref(), 1, later).await.relayed, 13);
}

pub(crate) async fn a_recipient_counts_once_for_a_cause_in_its_window(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let store = store.as_ref();
    assert_eq!(tally(store, 1, NOW).await.recipients, 1);
    assert_eq!(tally(store, 1, NOW).await.recipients, 1);
    let half = NOW.plus(HOUR / 2);
    assert_eq!(tally(store, 2, half).await.recipients, 2);
    assert_eq!(tally(store, 1, half).await.recipients, 2);
    let over = NOW.plus(HOUR);
    assert_eq!(
        tally(store, 3, over).await.recipients,
        2,
        "the first is over"
    );
    assert_eq!(tally(store, 1, over).await.recipients, 3);
    let long_after = NOW.plus(24 * HOUR);
    assert_eq!(tally(store, 4, long_after).await.recipients, 1);
}

pub(crate) async fn a_cause_changes_only_from_what_was_known(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let store = store.as_ref();
    let (one, two) = (hold(1), hold(2));
    assert_eq!(tally(store, 1, NOW).await.hold, None);
    assert!(!change(store, Some(&one), Some(&two), None).await.unwrap());
    assert!(change(store, None, Some(&one), None).await.unwrap());
    assert!(!change(store, None, Some(&two), None).await.unwrap());
    assert!(!change(store, Some(&two), None, None).await.unwrap());
    assert_eq!(tally(store, 1, NOW).await.hold, Some(one.clone()));
    let free = Hold {
        free_until: Some(NOW.plus(HOUR)),
        ..one.clone()
    };
    let lesson = lesson(1);
    let held = change(store, Some(&one), Some(&one), Some(&lesson)).await;
    assert!(held.unwrap());
    assert!(change(store, Some(&one), Some(&free), None).await.unwrap());
    let holds = store.holds(&tenant()).await.unwrap();
    assert_eq!(holds, [pending(&free, 1)]);
    let forgotten = change(store, Some(&free), None, None).await.unwrap();
    assert!(!forgotten, "not while it holds a lesson");
    let ids = [lesson.event.id];
    store.release(&tenant(), &cause(), &ids).await.unwrap();
    assert!(change(store, Some(&free), None, None).await.unwrap());
    assert!(store.holds(&tenant()).await.unwrap().is_empty());
    assert_eq!(tally(store, 1, NOW).await.hold, None);
}

pub(crate) async fn a_lesson_is_held_once_and_in_order(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let store = store.as_ref();
    let (tenant, cause, hold) = (tenant(), cause(), hold(1));
    assert!(store.held(&tenant, &cause, 9).await.unwrap().is_empty());
    assert!(
        change(store, None, Some(&hold), Some(&lesson(5)))
            .await
            .unwrap()
    );
    for number in [3, 5, 1, 3] {
        let one = lesson(number);
        let held = change(store, Some(&hold), Some(&hold), Some(&one)).await;
        assert!(held.unwrap());
    }
    assert_eq!(store.holds(&tenant).await.unwrap()[0].held, 3);
    let held = store.held(&tenant, &cause, 9).await.unwrap();
    assert_eq!(held, [lesson(1), lesson(3), lesson(5)]);
    let first = store.held(&tenant, &cause, 2).await.unwrap();
    assert_eq!(first, [lesson(1), lesson(3)]);
    assert!(store.held(&tenant, &cause, 0).await.unwrap().is_empty());
    let ids: Vec<EventId> = [1, 5, 77].map(|number| event(number).id).into();
    for _ in 0..2 {
        store.release(&tenant, &cause, &ids).await.unwrap();
        let held = store.held(&tenant, &cause, 9).await.unwrap();
        assert_eq!(held, [lesson(3)]);
        assert_eq!(store.holds(&tenant).await.unwrap()[0].held, 1);
    }
}

pub(crate) async fn a_lesson_that_is_held_needs_no_room(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let store = store.as_ref();
    let number = |number: usize| CauseId::of(&[&number.to_be_bytes()]);
    let free = Hold {
        free_until: Some(NOW.plus(HOUR)),
        ..hold(1)
    };
    let one = hold(1);
    // Accepted ones hold nothing and take no room.
    for place in 0..3 {
        let known = (None, Some(&free));
        outcome(store, &number(place), known, None).await.unwrap();
    }
    let (first, causes) = (lesson(1), 3..3 + HOLD_LIMIT);
    let held = causes.map(|place| {
        let (cause, one, first) = (number(place), &one, &first);
        async move { outcome(store, &cause, (None, Some(one)), Some(first)).await }
    });
    for held in futures_util::future::join_all(held).await {
        assert_eq!(held.unwrap(), HoldOutcome::Changed);
    }
    let known = (None, Some(&one));
    let full = outcome(store, &cause(), known, Some(&lesson(1))).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    let again = (Some(&free), Some(&one));
    let full = outcome(store, &number(0), again, Some(&lesson(1))).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    // What is held is told again, and others of its cause come.
    let known = (Some(&one), Some(&one));
    let held = outcome(store, &number(3), known, Some(&lesson(1))).await;
    assert_eq!(held.unwrap(), HoldOutcome::HeldAlready);
    let held = outcome(store, &number(3), known, Some(&lesson(2))).await;
    assert_eq!(held.unwrap(), HoldOutcome::Changed);
}

pub(crate) async fn of_many_who_hold_a_cause_all_lessons_are_there(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let tasks = (0..16).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                let known = tally(store.as_ref(), number, NOW).await;
                let own = hold(u64::from(number));
                let after = known.hold.as_ref().unwrap_or(&own);
                let lesson = lesson(u64::from(number));
                let before = known.hold.as_ref();
                let changed = change(store.as_ref(), before, Some(after), Some(&lesson));
                if changed.await.unwrap() {
                    return before.is_none();
                }
            }
        })
    });
    let began = tasks_done(tasks.collect()).await;
    assert_eq!(began.iter().filter(|began| **began).count(), 1);
    let holds = store.holds(&tenant()).await.unwrap();
    assert_eq!((holds.len(), holds[0].held), (1, 16));
    assert_eq!(tally(store.as_ref(), 0, NOW).await.recipients, 16);
}

pub(crate) async fn a_tenant_sees_its_own_lessons_only(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let other = Tenant::new("other").unwrap();
    store.note(&tenant(), &lesson(1)).await.unwrap();
    let one = hold(1);
    let held = change(store.as_ref(), None, Some(&one), Some(&lesson(1))).await;
    assert!(held.unwrap());
    tally(store.as_ref(), 1, NOW).await;
    let notes = store.notes(&other, Place::default(), 10).await.unwrap();
    assert!(notes.lessons.is_empty());
    assert!(store.holds(&other).await.unwrap().is_empty());
    assert!(store.held(&other, &cause(), 9).await.unwrap().is_empty());
    let tally = Tally {
        tenant: &other,
        cause: &cause(),
        key: &key(9),
        provider: "example.com",
        now: NOW,
        window: HOUR,
    };
    let tallied = store.tally(&tally).await.unwrap();
    assert_eq!((tallied.recipients, tallied.hold), (1, None));
}

/// Asks for everything once.
pub(crate) async fn every_lesson_command(store: &dyn Store) {
    let (tenant, cause) = (tenant(), cause());
    let id = event(1).id;
    store.is_seen(&tenant, &key(1), &id).await.unwrap();
    store.note(&tenant, &lesson(1)).await.unwrap();
    store.notes(&tenant, Place::default(), 9).await.unwrap();
    let counts = [("example.com".to_owned(), 1)];
    relay(store, 1, &counts, NOW).await.unwrap();
    tally(store, 1, NOW).await;
    let one = hold(1);
    assert!(
        change(store, None, Some(&one), Some(&lesson(1)))
            .await
            .unwrap()
    );
    assert_eq!(store.holds(&tenant).await.unwrap().len(), 1);
    assert_eq!(store.held(&tenant, &cause, 9).await.unwrap().len(), 1);
    store.release(&tenant, &cause, &[id]).await.unwrap();
    assert!(change(store, Some(&one), None, None).await.unwrap());
}

pub(crate) async fn s1_another_generation_has_no_lessons_and_takes_none(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let store = store.as_ref();
    let (tenant, cause, one) = (tenant(), cause(), hold(1));
    assert!(
        change(store, None, Some(&one), Some(&lesson(1)))
            .await
            .unwrap()
    );
    for generation in [None, Some("another")] {
        fixture.set_generation(generation);
        let unavailable = |error: StoreError| {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        };
        let id = event(1).id;
        unavailable(store.is_seen(&tenant, &key(1), &id).await.unwrap_err());
        unavailable(store.note(&tenant, &lesson(1)).await.unwrap_err());
        let notes = store.notes(&tenant, Place::default(), 9).await;
        unavailable(notes.unwrap_err());
        let counts = [("example.com".to_owned(), 1)];
        unavailable(relay(store, 1, &counts, NOW).await.unwrap_err());
        unavailable(store.holds(&tenant).await.unwrap_err());
        unavailable(store.held(&tenant, &cause, 9).await.unwrap_err());
        unavailable(store.release(&tenant, &cause, &[id]).await.unwrap_err());
        let changed = change(store, Some(&one), Some(&one), Some(&lesson(2))).await;
        unavailable(changed.unwrap_err());
        let tally = Tally {
            tenant: &tenant,
            cause: &cause,
            key: &key(1),
            provider: "example.com",
            now: NOW,
            window: HOUR,
        };
        unavailable(store.tally(&tally).await.unwrap_err());
    }
    fixture.set_generation(Some(GENERATION));
    assert_eq!(store.holds(&tenant).await.unwrap(), [pending(&one, 1)]);
    assert_eq!(tally(store, 1, NOW).await.recipients, 1);
}

pub(crate) async fn s4_a_cause_that_cannot_be_read_is_not_free(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    for text in ["", "{}", "{\"provider\":", "null"] {
        fixture.set_hold(&tenant(), &cause(), text);
        let (tenant, cause) = (tenant(), cause());
        let tally = Tally {
            tenant: &tenant,
            cause: &cause,
            key: &key(1),
            provider: "example.com",
            now: NOW,
            window: HOUR,
        };
        let error = store.tally(&tally).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{text}: {error}");
        let error = store.holds(&tenant).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{text}: {error}");
        let one = hold(1);
        let changed = change(store.as_ref(), None, Some(&one), Some(&lesson(1))).await;
        if text.is_empty() {
            continue;
        }
        assert!(!changed.unwrap(), "{text}");
    }
}
