//! The learner over an embedded store: large batches, page by page.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::pending::Decision;
use super::undo::{Filter, UndoPage, UndoneBy};
use super::*;
use crate::store::Store;
use crate::store::contract::{ledger, meta, tenant};
use crate::store::embedded::EmbeddedStore;
use crate::suppression::EventId;

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
                learnt.await.unwrap() == Learnt::Held
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
            reason: None,
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
    let first = place.learner.decide(&tenant, cause, Decision::Accept).await;
    let first = first.unwrap().unwrap();
    assert_eq!((first.decided, first.left), (500, 150));
    // Whatever broke off in between: the same call goes on.
    let rest = place.learner.decide(&tenant, cause, Decision::Accept).await;
    let rest = rest.unwrap().unwrap();
    assert_eq!((rest.decided, rest.left), (150, 0));
    assert!(place.learner.pending(&tenant).await.unwrap().is_empty());
    let read = place.learner.ledger.read(&tenant, &key(699)).await.unwrap();
    assert_eq!(read.record.hard.unwrap().count, 1);
    assert_eq!(place.tell(700..760).await, 0, "free for the day");
    // Dropping ends that: the next one is held again.
    let dropped = place.learner.decide(&tenant, cause, Decision::Drop).await;
    assert_eq!(dropped.unwrap().unwrap().decided, 0);
    assert_eq!(place.tell(760..761).await, 1);
}
