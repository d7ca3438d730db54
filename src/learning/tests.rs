//! The learner over an embedded store: large batches, page by page.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::pending::Decision;
use super::undo::{Filter, UndoPage, UndoneBy};
use super::*;
use crate::store::contract::{ledger, meta, tenant};
use crate::store::embedded::EmbeddedStore;
use crate::store::{DecidedBy, HISTORY_LIMIT, Store};
use crate::suppression::EventId;
use crate::suppression::Scope;
use crate::suppression::event::Grounds;

struct Place {
    learner: Learner,
    _folder: tempfile::TempDir,
}

async fn place(brake: Option<Brake>) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).unwrap());
    store.create_meta(&meta("g")).await.unwrap();
    store.expect_generation("g");
    let rules = LearnerRules {
        brake,
        tenants: vec![tenant()],
        hide_addresses: false,
    };
    Place {
        learner: Learner::new(Arc::new(ledger(&store)), Arc::default(), rules),
        _folder: folder,
    }
}

fn key(number: u32) -> RecipientKey {
    RecipientKey::from_bytes(u128::from(number).to_be_bytes())
}

fn bounce(number: u32) -> Event {
    Event {
        id: EventId::of(&[b"bounce", &number.to_be_bytes()]),
        at: Timestamp::now(),
        actor: "mx.example.net".to_owned(),
        via: "returns".to_owned(),
        message_at: None,
        address: Some(format!("r{number}@example.net")),
        change: Change::Bounce {
            kind: BounceKind::Hard,
            reason: Some("user_unknown".to_owned()),
            status: None,
            diagnostic: Some(format!("550 no user r{number} here")),
            campaign: None,
        },
    }
}

fn decided_by() -> DecidedBy {
    DecidedBy {
        at: Timestamp::now(),
        actor: "operator".to_owned(),
        via: "cli".to_owned(),
        reason: Some("looked".to_owned()),
    }
}

fn source(number: u32) -> Source {
    Source {
        provider: "example.net".to_owned(),
        host: format!("mx{}.example.net", number % 7),
        words: format!("550 no user r{number} here"),
    }
}

impl Place {
    /// Tells of so many bounces, many at a time; how many were held.
    async fn tell(&self, numbers: std::ops::Range<u32>) -> usize {
        stream::iter(numbers)
            .map(|number| async move {
                let source = source(number);
                let (tenant, key) = (tenant(), key(number));
                let learnt = self.learner.learn(&tenant, &key, bounce(number), &source);
                matches!(learnt.await.unwrap(), Learnt::Held { .. })
            })
            .buffer_unordered(64)
            .filter(|held| std::future::ready(*held))
            .count()
            .await
    }

    async fn undo_all(&self) -> (u64, u32) {
        let filter = Filter {
            since: Timestamp::now().minus(Duration::from_secs(3600)),
            until: None,
            reason: Some("user_unknown".to_owned()),
            diagnostic: Some("NO USER".to_owned()),
        };
        let by = UndoneBy {
            actor: "operator".to_owned(),
            via: "cli".to_owned(),
            reason: Some("a mistake".to_owned()),
            dry_run: false,
        };
        let (mut undone, mut calls) = (0, 0);
        let mut from = None;
        loop {
            let page: UndoPage = self
                .learner
                .undo(&tenant(), &filter, &by, from)
                .await
                .unwrap();
            undone += page.undone;
            calls += 1;
            from = page.next;
            if from.is_none() {
                return (undone, calls);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_undone_page_by_page() {
    let place = place(None).await;
    assert_eq!(place.tell(0..2100).await, 0);
    assert_eq!(place.undo_all().await, (2100, 3));
    assert_eq!(place.undo_all().await, (0, 3), "again changes nothing");
    assert_eq!(place.tell(0..10).await, 0);
    let record = place.learner.ledger.read(&tenant(), &key(3)).await.unwrap();
    assert_eq!(record.record.hard, None, "an undone report counts nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_held_at_once_is_held_exactly_above_the_limit() {
    let brake = Brake {
        recipients: 50,
        share: 0.05,
        window: Duration::from_secs(3600),
    };
    let place = place(Some(brake)).await;
    assert_eq!(place.tell(0..700).await, 650);
    assert_eq!(place.tell(0..700).await, 650, "told again, nothing changes");
    let pending = place.learner.pending(&tenant()).await.unwrap();
    assert_eq!((pending.len(), pending[0].held), (1, 650));
    let cause = &pending[0].cause;
    let tenant = tenant();
    let first = place
        .learner
        .decide(&tenant, cause, Decision::Accept, &decided_by())
        .await;
    let first = first.unwrap().unwrap();
    assert_eq!((first.decided, first.left), (500, 150));
    // Whatever broke off in between: the same call goes on.
    let rest = place
        .learner
        .decide(&tenant, cause, Decision::Accept, &decided_by())
        .await;
    let rest = rest.unwrap().unwrap();
    assert_eq!((rest.decided, rest.left), (150, 0));
    assert!(place.learner.pending(&tenant).await.unwrap().is_empty());
    let read = place.learner.ledger.read(&tenant, &key(699)).await.unwrap();
    assert_eq!(read.record.hard.unwrap().count, 1);
    assert_eq!(place.tell(700..760).await, 0, "free for the day");
    // Dropping ends that: the next one is held again.
    let dropped = place
        .learner
        .decide(&tenant, cause, Decision::Drop, &decided_by())
        .await;
    assert_eq!(dropped.unwrap().unwrap().decided, 0);
    assert_eq!(place.tell(760..761).await, 1);
}

const BRAKE: Brake = Brake {
    recipients: 5,
    share: 0.05,
    window: Duration::from_secs(3600),
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_new_once() {
    let place = place(Some(BRAKE)).await;
    assert_eq!(place.tell(0..5).await, 0);
    let tell = || async {
        let (tenant, key, source) = (tenant(), key(5), source(5));
        let learnt = place.learner.learn(&tenant, &key, bounce(5), &source);
        learnt.await.unwrap()
    };
    assert_eq!(tell().await, Learnt::Held { is_new: true });
    assert_eq!(tell().await, Learnt::Held { is_new: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_nobody_finds_are_counted_together() {
    let place = place(Some(BRAKE)).await;
    let tell = |number: u32, reason: &'static str| {
        let learner = &place.learner;
        async move {
            let source = Source {
                provider: format!("example{number}.org"),
                host: "relay.example.com".to_owned(),
                words: format!("550 5.4.4 host example{number}.org not found"),
            };
            let mut event = bounce(number);
            if let Change::Bounce { reason: given, .. } = &mut event.change {
                *given = Some(reason.to_owned());
            }
            let (tenant, key) = (tenant(), key(number));
            let learnt = learner.learn(&tenant, &key, event, &source);
            matches!(learnt.await.unwrap(), Learnt::Held { .. })
        }
    };
    for number in 0..9 {
        let held = tell(number, "host_unknown").await;
        assert_eq!(held, number >= 5, "{number}");
    }
    let pending = place.learner.pending(&tenant()).await.unwrap();
    assert_eq!((pending.len(), pending[0].held), (1, 4));
    assert_eq!(pending[0].hold.provider, ANY_PROVIDER);
    assert!(!tell(10, "user_unknown").await, "a provider's own words");
    // Of much mail, a few are no fault of ours.
    for _ in 0..1000 {
        place.learner.relayed(&tenant(), "example.net", 1);
    }
    place.learner.tell_relayed().await.unwrap();
    let (tenant, by) = (tenant(), decided_by());
    let cause = &pending[0].cause;
    let dropping = place.learner.decide(&tenant, cause, Decision::Drop, &by);
    assert_eq!(dropping.await.unwrap().unwrap().decided, 4);
    assert!(!tell(11, "host_unknown").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_that_broke_off_still_rings() {
    let place = place(Some(BRAKE)).await;
    assert_eq!(place.tell(0..8).await, 3);
    let pending = place.learner.pending(&tenant()).await.unwrap();
    let hold = &pending[0].hold;
    let free = Hold {
        free_until: Some(Timestamp::now().plus(Duration::from_secs(3600))),
        ..hold.clone()
    };
    let tenant = tenant();
    let change = HoldChange {
        tenant: &tenant,
        cause: &pending[0].cause,
        before: Some(hold),
        after: Some(&free),
        lesson: None,
    };
    let changed = place.learner.lessons().change_hold(&change).await.unwrap();
    assert_eq!(changed, HoldOutcome::Changed);
    place.learner.look_after().await;
    assert_eq!(place.learner.holding(), 1);
    let cause = &pending[0].cause;
    let by = decided_by();
    let rest = place.learner.decide(&tenant, cause, Decision::Accept, &by);
    assert_eq!(rest.await.unwrap().unwrap().decided, 3);
    place.learner.look_after().await;
    assert_eq!(place.learner.holding(), 0);
    let history = place.learner.ledger.history(&tenant, &key(7), 9).await;
    assert_eq!(history.unwrap()[0].decided.as_ref(), Some(&by));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_this_call_decided_is_counted() {
    let place = place(Some(BRAKE)).await;
    assert_eq!(place.tell(0..8).await, 3);
    let cause = place.learner.pending(&tenant()).await.unwrap()[0]
        .cause
        .clone();
    // Somebody else decided on one of them and broke off before it was released.
    let (tenant, by) = (tenant(), decided_by());
    let held = place.learner.held(&tenant, &cause, 9).await.unwrap();
    let Lesson { key, event, .. } = held[0].clone();
    let ledger = &place.learner.ledger;
    let dropped = ledger.drop_event(&tenant, &key, event, by.clone()).await;
    assert_eq!(dropped.unwrap().effect, Some(Effect::Dropped));
    let decided = place.learner.decide(&tenant, &cause, Decision::Accept, &by);
    let decided = decided.await.unwrap().unwrap();
    assert_eq!((decided.decided, decided.known, decided.left), (2, 1, 0));
    assert!(decided.failure.is_none());
}

impl Place {
    /// Notes an event as if it had been told of so many milliseconds after it happened, and records
    /// the last of these.
    async fn note(&self, event: &Event, attempts: &[u64]) {
        for late in attempts {
            let at = event.at.plus(Duration::from_millis(*late));
            let lesson = Lesson {
                key: key(1),
                event: Event {
                    at,
                    ..event.clone()
                },
                provider: "example.net".to_owned(),
                host: "mx.example.net".to_owned(),
            };
            self.learner
                .lessons()
                .note(&tenant(), &lesson)
                .await
                .unwrap();
            if Some(late) == attempts.last() {
                self.record(lesson.event).await;
            }
        }
    }

    async fn record(&self, event: Event) {
        let (tenant, key) = (tenant(), key(1));
        let recorded = self.learner.ledger.record(&tenant, &key, event).await;
        recorded.unwrap();
    }

    async fn dry_run(&self, reason: &str) -> UndoPage {
        let filter = Filter {
            since: Timestamp::now().minus(Duration::from_secs(3600)),
            until: None,
            reason: Some(reason.to_owned()),
            diagnostic: None,
        };
        let by = UndoneBy {
            actor: "operator".to_owned(),
            via: "cli".to_owned(),
            reason: None,
            dry_run: true,
        };
        let page = self.learner.undo(&tenant(), &filter, &by, None).await;
        page.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_several_times_is_undone_once() {
    let place = place(None).await;
    place.note(&bounce(1), &[0, 60, 90]).await;
    let page = place.dry_run("user_unknown").await;
    assert_eq!((page.matched, page.undone), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_again_or_is_too_old_is_told_apart() {
    let place = place(None).await;
    let opt_out = |number: u32| Event {
        change: Change::OptOut {
            scope: Scope::All,
            grounds: Grounds::default(),
        },
        ..bounce(number)
    };
    place.note(&opt_out(1), &[0]).await;
    place.note(&opt_out(2), &[900]).await;
    let page = place.dry_run("opt_out").await;
    assert_eq!((page.matched, page.undone, page.said_again), (2, 0, 1));
    assert_eq!(page.forgotten, 0);
    for number in 0..HISTORY_LIMIT as u32 {
        place.record(bounce(100 + number)).await;
    }
    let page = place.dry_run("opt_out").await;
    assert_eq!((page.said_again, page.forgotten), (0, 2));
}
