use std::sync::Arc;

use super::*;
use crate::config::{Mode, Suppressed};
use crate::mail::{ForwardPath, ReversePath};
use crate::smtp::{MailParameters, RcptParameters};
use crate::suppression::{Finding, Stream, StreamClass, Tenant};
use crate::timestamp::Timestamp;
use crate::transaction::{Fate, Policy};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn key(number: u8) -> RecipientKey {
    RecipientKey::from_bytes([number; 16])
}

/// A transaction whose recipients have these keys, all accepted.
fn transaction(reverse_path: &'static [u8], keys: &[Option<u8>]) -> Transaction {
    let stream = Arc::new(Stream::new("campaign", StreamClass::Campaign));
    let policy = Policy {
        tenant: Tenant::default(),
        stream: Arc::clone(&stream),
        choices: vec![stream],
        suppressed: Suppressed::Reject,
        mode: Mode::Enforce,
        scopes: true,
        sign: true,
        list_unsubscribe: false,
    };
    let (path, _) = ReversePath::parse(&Bytes::from_static(reverse_path)).unwrap();
    let parameters = MailParameters::default();
    let mut transaction = Transaction::new("id".into(), path, parameters, Arc::new(policy));
    for one in keys {
        let (path, _) = ForwardPath::parse(&Bytes::from_static(b"<b@example.net>")).unwrap();
        let parameters = RcptParameters::default();
        transaction.add(path, parameters, one.map(key), Finding::Clear, NOW);
    }
    for recipient in &mut transaction.recipients {
        recipient.fate = Fate::Accepted;
    }
    transaction
}

fn signed(kind: TokenKind, subject: u8, label: u32) -> Option<SignedPath> {
    let token = Token {
        kind,
        tenant: Tenant::default(),
        subject: [subject; 16],
        label,
        at: NOW,
        nonce: 0,
    };
    let wire = Bytes::from_static(b"<token@returns.example.com>");
    Some(SignedPath { token, wire })
}

#[test]
fn e4_the_null_reverse_path_is_never_signed() {
    assert!(!transaction(b"<>", &[Some(1)]).wants_signature());
    let mut ordinary = transaction(b"<a@example.com>", &[Some(1)]);
    assert!(ordinary.wants_signature());
    assert_eq!(ordinary.upstream_path(), b"<a@example.com>");
    ordinary.signed = signed(TokenKind::Recipient, 1, 0);
    assert_eq!(ordinary.upstream_path(), b"<token@returns.example.com>");
}

#[test]
fn one_recipient_is_named_and_several_are_a_set() {
    let subject = |keys: &[Option<u8>]| transaction(b"<a@example.com>", keys).subject();
    let set = |keys: &[u8]| Some(Subject::Set(keys.iter().copied().map(key).collect()));
    assert_eq!(subject(&[Some(1)]), Some(Subject::Recipient(key(1))));
    assert_eq!(
        subject(&[Some(1), Some(1)]),
        Some(Subject::Recipient(key(1)))
    );
    assert_eq!(subject(&[Some(2), Some(1)]), set(&[1, 2]));
    // A bare postmaster has no key, and what comes back for it must not be the other's.
    assert_eq!(subject(&[None]), None);
    assert_eq!(subject(&[Some(1), None]), set(&[1]));
}

#[test]
fn a_path_is_right_as_long_as_it_stands_for_all_that_were_accepted() {
    let one = Subject::Recipient(key(1));
    let two = Subject::Set(vec![key(1), key(2)]);
    let mut transaction = transaction(b"<a@example.com>", &[Some(1), Some(2)]);
    transaction.signed = signed(TokenKind::Recipient, 1, 7);
    assert!(transaction.is_signed_for(Some(&one), 7));
    assert!(
        !transaction.is_signed_for(Some(&one), 8),
        "another campaign"
    );
    assert!(!transaction.is_signed_for(Some(&two), 7));
    assert!(!transaction.is_signed_for(Some(&Subject::Recipient(key(2))), 7));
    assert!(!transaction.is_signed_for(None, 7));
    assert_eq!(transaction.set_to_record(), None);

    transaction.signed = signed(TokenKind::Transaction, 9, 7);
    assert!(transaction.is_signed_for(Some(&two), 7));
    assert!(transaction.is_signed_for(Some(&one), 7), "a set of one");
    assert!(!transaction.is_signed_for(Some(&two), 0));
    let recorded = transaction.set_to_record();
    assert_eq!(recorded, Some(([9; 16], vec![key(1), key(2)])));

    transaction.signed = None;
    assert!(!transaction.is_signed_for(Some(&one), 7));
    assert!(transaction.is_signed_for(None, 7));
}

#[test]
fn b10_only_those_who_were_accepted_are_in_the_set() {
    let mut transaction = transaction(b"<a@example.com>", &[Some(1), Some(2), None, Some(3)]);
    transaction.recipients[1].fate = Fate::RefusedUpstream;
    transaction.signed = signed(TokenKind::Transaction, 9, 0);
    let recorded = transaction.set_to_record();
    assert_eq!(recorded, Some(([9; 16], vec![key(1), key(3)])));
    assert_eq!(transaction.only_recipient(), None);
}
