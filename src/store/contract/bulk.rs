//! The contract of a *bulk*: many commits at once are as good as one after the other.

use super::{
    Arc, Commit, CommitOutcome, Duration, Fixture, GENERATION, HISTORY_LIMIT, Record, Store,
    StoreError, Write, entry, event, key, ledger, named, ready, tasks_done, tenant,
};
use crate::store::HistoryEntry;
use crate::store::ledger::{Guess, Ledger};
use crate::suppression::event::{BounceKind, Effect, Grounds, IMPORT};
use crate::suppression::{Change, Event, RecipientKey, Scope};

/// A key of which there are more than the single octets of the other cases give.
fn far_key(number: u16) -> RecipientKey {
    let mut bytes = [0xee; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    RecipientKey::from_bytes(bytes)
}

/// Commits events of these numbers to these keys, expecting these versions.
async fn commit(
    store: &Arc<dyn Store>,
    writes: &[(RecipientKey, u64, u64)],
    record: &Record,
) -> Result<Vec<Result<CommitOutcome, StoreError>>, StoreError> {
    let tenant = tenant();
    let entries: Vec<HistoryEntry> = writes.iter().map(|(_, number, _)| entry(*number)).collect();
    let commits: Vec<_> = writes
        .iter()
        .zip(&entries)
        .map(|((key, _, version), entry)| Commit {
            tenant: &tenant,
            key,
            expected_version: *version,
            record,
            entry,
            remember: Duration::from_secs(3600),
        })
        .collect();
    store.commit_many(&commits).await
}

pub(crate) async fn many_commits_have_an_outcome_each(fixture: &impl Fixture) {
    use CommitOutcome::{Committed, Conflict, Duplicate};
    let store = ready(fixture).await;
    let record = named("a@example.com");
    assert!(commit(&store, &[], &record).await.unwrap().is_empty());
    // All of them new, more than go into one script.
    let fresh: Vec<_> = (0..100).map(|number| (far_key(number), 1, 0)).collect();
    for outcome in commit(&store, &fresh, &record).await.unwrap() {
        assert_eq!(outcome.unwrap(), Committed);
    }
    let all_new_but_expected = [(far_key(200), 1, 3), (far_key(201), 1, 0)];
    let outcomes = commit(&store, &all_new_but_expected, &record).await;
    let outcomes: Vec<_> = outcomes.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [Conflict, Committed]);

    let broken = far_key(3);
    fixture.set_field(&tenant(), &broken, "version", None);
    let mixed = [
        (far_key(0), 2, 1),
        (far_key(1), 1, 1),
        (far_key(2), 2, 0),
        (broken, 2, 1),
        (far_key(202), 1, 0),
        // Of one recipient, in their order.
        (far_key(4), 2, 1),
        (far_key(4), 3, 2),
        (far_key(4), 2, 3),
    ];
    let outcomes = commit(&store, &mixed, &record).await.unwrap();
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().ok())
        .collect();
    let expected = [
        Some(&Committed),
        Some(&Duplicate),
        Some(&Conflict),
        None,
        Some(&Committed),
        Some(&Committed),
        Some(&Committed),
        Some(&Duplicate),
    ];
    assert_eq!(told, expected, "{outcomes:?}");
    assert!(
        matches!(outcomes[3], Err(StoreError::Corrupt(_))),
        "{outcomes:?}"
    );

    let keys = [far_key(0), far_key(1), broken, far_key(4), far_key(999)];
    let read = store.read_many(&tenant(), &keys).await.unwrap();
    let versions: Vec<_> = read
        .iter()
        .map(|read| read.as_ref().ok().map(|read| read.version))
        .collect();
    assert_eq!(versions, [Some(2), Some(1), None, Some(3), Some(0)]);
    let history = store.history(&tenant(), &far_key(4), 9).await.unwrap();
    assert_eq!(history, [entry(3), entry(2), entry(1)]);
    // A single commit knows what the bulk has written.
    let single = Write {
        key: far_key(202),
        ..Write::new(1, 1, &record)
    };
    assert_eq!(single.to(&store).await.unwrap(), Duplicate);
}

pub(crate) async fn s1_another_generation_takes_no_bulk(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    let write = [(far_key(1), 1, 0)];
    for generation in [None, Some("another")] {
        fixture.set_generation(generation);
        let outcomes = commit(&store, &write, &record).await;
        assert!(matches!(outcomes, Err(StoreError::Unavailable(_))));
        assert!(store.read_many(&tenant(), &[far_key(1)]).await.is_err());
    }
    fixture.set_generation(Some(GENERATION));
    let read = store.read_many(&tenant(), &[far_key(1)]).await.unwrap();
    assert_eq!(read[0].as_ref().unwrap().version, 0);
}

pub(crate) async fn a_bulk_keeps_a_history_within_its_limit(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let record = named("a@example.com");
    let count = HISTORY_LIMIT as u64 + 3;
    let writes: Vec<_> = (0..count)
        .map(|number| (far_key(1), number, number))
        .collect();
    for outcome in commit(&store, &writes, &record).await.unwrap() {
        assert_eq!(outcome.unwrap(), CommitOutcome::Committed);
    }
    let history = store.history(&tenant(), &far_key(1), usize::MAX).await;
    let history = history.unwrap();
    assert_eq!(history.len(), HISTORY_LIMIT);
    assert_eq!(history.first(), Some(&entry(count - 1)));
    assert_eq!(history.last(), Some(&entry(3)));
}

/// What a list says.
fn listed(number: u64, change: Change) -> Event {
    Event {
        via: IMPORT.to_owned(),
        change,
        ..event(number)
    }
}

fn opt_out() -> Change {
    Change::OptOut {
        scope: Scope::All,
        grounds: Grounds::default(),
    }
}

fn hard_bounce() -> Change {
    Change::Bounce {
        kind: BounceKind::Hard,
        reason: None,
        status: None,
        diagnostic: None,
        campaign: None,
    }
}

async fn effects(
    ledger: &Ledger,
    events: Vec<(RecipientKey, Event)>,
    guess: Guess,
) -> Vec<Option<Effect>> {
    let recorded = ledger.record_many(&tenant(), events, guess).await;
    recorded.outcomes.into_iter().map(Result::unwrap).collect()
}

pub(crate) async fn a_bulk_is_recorded_like_single_events(fixture: &impl Fixture) {
    use Effect::{AlreadySo, Changed};
    let store = ready(fixture).await;
    let ledger = ledger(&store);
    ledger.record(&tenant(), &key(1), event(1)).await.unwrap();
    for guess in [Guess::Unknown, Guess::Known] {
        let (one, other) = match guess {
            Guess::Unknown => (10, key(3)),
            Guess::Known => (20, key(4)),
        };
        let events = vec![
            // Told before; of somebody known; new; the same recipient again.
            (key(1), event(1)),
            (key(1), listed(one, opt_out())),
            (other, listed(one + 1, hard_bounce())),
            (other, listed(one + 2, opt_out())),
            (other, listed(one + 3, opt_out())),
        ];
        let told = effects(&ledger, events, guess).await;
        let second = match guess {
            Guess::Unknown => Changed,
            Guess::Known => AlreadySo,
        };
        let expected = [
            None,
            Some(second),
            Some(Changed),
            Some(Changed),
            Some(AlreadySo),
        ];
        assert_eq!(told, expected, "{guess:?}");
        let read = ledger.read(&tenant(), &other).await.unwrap();
        assert_eq!(read.version, 2);
        assert_eq!(read.record.hard.unwrap().count, 1);
        assert!(read.record.opt_outs.contains_key(&Scope::All));
    }
    let known = ledger.read(&tenant(), &key(1)).await.unwrap();
    assert_eq!(known.record.soft.unwrap().count, 1);
}

pub(crate) async fn a4_a_bulk_told_twice_changes_nothing(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let ledger = ledger(&store);
    let events = |shift: u64| -> Vec<_> {
        (0..150u16)
            .map(|number| {
                let change = if number % 2 == 0 {
                    opt_out()
                } else {
                    hard_bounce()
                };
                // Another number is another id: as if the first had been forgotten.
                (far_key(number), listed(u64::from(number) + shift, change))
            })
            .collect()
    };
    let first = ledger
        .record_many(&tenant(), events(0), Guess::Unknown)
        .await;
    assert_eq!(first.created, 150);
    let keys: Vec<_> = (0..150).map(far_key).collect();
    let before = store.look_up(&tenant(), &keys).await;
    for (guess, shift) in [
        (Guess::Unknown, 0),
        (Guess::Known, 0),
        (Guess::Unknown, 1000),
        (Guess::Known, 1000),
    ] {
        let again = ledger.record_many(&tenant(), events(shift), guess).await;
        assert_eq!(again.created, 0);
        for outcome in again.outcomes {
            let effect = outcome.unwrap();
            assert!(
                matches!(effect, None | Some(Effect::AlreadySo)),
                "{effect:?}"
            );
        }
        assert_eq!(store.look_up(&tenant(), &keys).await, before);
    }
    let history = store.history(&tenant(), &far_key(1), 9).await.unwrap();
    assert_eq!(history.len(), 1);
}

pub(crate) async fn of_many_bulks_at_once_every_event_counts(fixture: &impl Fixture) {
    let store = ready(fixture).await;
    let ledger = Arc::new(ledger(&store));
    let tasks = (0..8u64)
        .map(|task| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let events = (0..50)
                    .map(|number| (far_key(number), event(task)))
                    .collect();
                effects(&ledger, events, Guess::Unknown).await
            })
        })
        .collect();
    for told in tasks_done(tasks).await {
        assert!(told.iter().all(|effect| *effect == Some(Effect::Changed)));
    }
    for number in [0, 49] {
        let read = ledger.read(&tenant(), &far_key(number)).await.unwrap();
        assert_eq!(read.record.soft.unwrap().count, 8);
    }
}
