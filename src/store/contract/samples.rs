//! *Samples*: the tenant, keys, events and records that tests of the stores share.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::EnhancedStatus;
use crate::store::ledger::{Ledger, LedgerOptions};
use crate::store::{Meta, SCHEMA, Store};
use crate::suppression::event::BounceKind;
use crate::suppression::record::{Bounces, Complaint, Consent, DoNotEmail, Erased, Further, Reset};
use crate::suppression::{
    Change, Event, EventId, EventRules, KeyMaker, RecipientKey, Record, Scope, Tenant,
};
use crate::timestamp::Timestamp;

pub(crate) fn tenant() -> Tenant {
    Tenant::default()
}

pub(crate) fn key(number: u8) -> RecipientKey {
    RecipientKey::from_bytes([number; 16])
}

pub(crate) fn meta(generation: &str) -> Meta {
    Meta {
        schema: SCHEMA,
        key_check: keys().check_value(),
        generation: generation.to_owned(),
    }
}

pub(crate) fn keys() -> KeyMaker {
    KeyMaker::new(b"a pepper for tests")
}

/// The event of this number: a soft bounce, so that each one counts.
pub(crate) fn event(number: u64) -> Event {
    Event {
        id: EventId::of(&[b"contract", &number.to_be_bytes()]),
        at: Timestamp::from_millis(1_000_000 + number),
        actor: "mx.example.net".to_owned(),
        via: "returns".to_owned(),
        message_at: None,
        address: Some("a@example.com".to_owned()),
        change: Change::Bounce {
            reason: None,
            kind: BounceKind::Soft,
            status: Some(EnhancedStatus::of(4, 2, 2)),
            diagnostic: Some(format!("\"full\"\u{2028}é {number}")),
            campaign: None,
        },
    }
}

pub(crate) fn ledger(store: &Arc<dyn Store>) -> Ledger {
    Ledger::new(
        Arc::clone(store),
        keys(),
        LedgerOptions {
            rules: EventRules::default(),
            timeout: Duration::from_secs(2),
            remember: Duration::from_secs(3600),
        },
    )
}

pub(crate) fn consent(at: u64) -> Consent {
    Consent {
        at: Timestamp::from_millis(at),
        last: Some(Timestamp::from_millis(at + 1)),
        via: "one-click".to_owned(),
        actor: "recipient".to_owned(),
        campaign: Some("spring".to_owned()),
        reason: Some("too many".to_owned()),
        comment: Some("said \"stop\"".to_owned()),
        evidence: Some("form of 2026".to_owned()),
    }
}

/// A record in which every field is set.
pub(crate) fn full_record() -> Record {
    let at = Timestamp::from_millis;
    let bounces = |count| Bounces {
        count,
        first: at(10),
        last: at(20),
        status: Some(EnhancedStatus::of(5, 1, 1)),
        diagnostic: Some("no such user".to_owned()),
        campaign: Some("spring".to_owned()),
        recent: vec![at(15), at(20)],
        listed: Some(at(12)),
    };
    let reset = Reset {
        at: at(30),
        by: "operator".to_owned(),
        reason: Some("asked".to_owned()),
    };
    Record {
        address: Some("\"a b\"@example.com".to_owned()),
        opt_outs: [
            (Scope::All, consent(1)),
            (Scope::list("news.example.com").unwrap(), consent(2)),
        ]
        .into(),
        opt_ins: [(Scope::topic("offers").unwrap(), consent(3))].into(),
        do_not_email: Some(DoNotEmail {
            at: at(40),
            by: "operator".to_owned(),
            why: "asked by phone".to_owned(),
            until: Some(at(50)),
            auto: true,
        }),
        complaint: Some(Complaint {
            at: at(60),
            stream: Some("campaign".to_owned()),
            last: Some(at(65)),
            also: vec![Further {
                at: Some(at(61)),
                stream: Some("receipts".to_owned()),
                last: Some(at(62)),
                source: Some("mx.example.org".to_owned()),
            }],
            source: "mx.example.net".to_owned(),
        }),
        hard: Some(bounces(1)),
        soft: Some(bounces(7)),
        hard_reset: Some(reset.clone()),
        soft_reset: Some(reset),
        erased: Some(Erased {
            at: at(70),
            by: "operator".to_owned(),
        }),
    }
}
