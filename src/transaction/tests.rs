use bytes::Bytes;

use super::*;
use crate::suppression::event::{BounceKind, Change, Event, EventId, EventRules, Grounds};
use crate::suppression::{Reason, Record, Scope, StreamClass};

const NOW: Timestamp = Timestamp::from_millis(1000);

fn policy(suppressed: Suppressed, mode: Mode, choices: &[StreamClass]) -> Arc<Policy> {
    let streams: Vec<_> = choices
        .iter()
        .map(|&class| Arc::new(Stream::new(&format!("{class:?}").to_lowercase(), class)))
        .collect();
    Arc::new(Policy {
        tenant: Tenant::default(),
        stream: Arc::clone(&streams[0]),
        choices: streams,
        suppressed,
        mode,
        scopes: true,
        sign: false,
        list_unsubscribe: false,
    })
}

fn transaction(policy: Arc<Policy>) -> Transaction {
    Transaction::new(
        "id".into(),
        ReversePath::Null,
        MailParameters::default(),
        policy,
    )
}

fn known(change: Change) -> Finding {
    let event = Event {
        id: EventId::of(&[b"x"]),
        at: NOW,
        actor: "x".into(),
        via: "x".into(),
        message_at: None,
        address: None,
        change,
    };
    Finding::known(
        &event
            .apply(&Record::default(), &EventRules::default())
            .record,
    )
}

fn opted_out(scope: &str) -> Finding {
    known(Change::OptOut {
        scope: scope.parse().unwrap(),
        grounds: Grounds::default(),
    })
}

fn bounced(status: Option<&str>) -> Finding {
    known(Change::Bounce {
        reason: None,
        kind: BounceKind::Hard,
        status: status.map(|s| s.parse().unwrap()),
        diagnostic: None,
        campaign: None,
    })
}

fn add(transaction: &mut Transaction, finding: Finding) -> Option<String> {
    let (path, _) = ForwardPath::parse(&Bytes::from_static(b"<b@example.net>")).unwrap();
    let reply = transaction.add(path, RcptParameters::default(), None, finding, NOW);
    reply.map(|reply| reply.to_string())
}

fn accept_all(transaction: &mut Transaction) {
    for index in transaction.with_fate(Fate::Offer) {
        transaction.recipients[index].fate = Fate::Accepted;
    }
}

#[test]
fn the_reply_tells_the_reason() {
    let mut t = transaction(policy(
        Suppressed::Reject,
        Mode::Enforce,
        &[StreamClass::Campaign],
    ));
    let mut reply = |finding| add(&mut t, finding);
    assert_eq!(reply(Finding::Clear), None);
    assert_eq!(
        reply(opted_out("*")).unwrap(),
        "550 5.7.1 id Recipient suppressed (opt-out)"
    );
    assert_eq!(
        reply(bounced(None)).unwrap(),
        "550 5.1.1 id Recipient suppressed (hard bounce)"
    );
    assert_eq!(
        reply(bounced(Some("5.1.2"))).unwrap(),
        "550 5.1.2 id Recipient suppressed (hard bounce)"
    );
    assert_eq!(
        reply(bounced(Some("5.2.1"))).unwrap(),
        "550 5.2.1 id Recipient suppressed (hard bounce)"
    );
    assert_eq!(
        reply(bounced(Some("5.0.0"))).unwrap(),
        "550 5.1.1 id Recipient suppressed (hard bounce)"
    );
    assert_eq!(
        reply(Finding::Unavailable).unwrap(),
        "451 4.3.0 Temporary lookup failure"
    );
    assert_eq!(t.with_fate(Fate::Offer), [0]);
}

#[test]
fn e11_discard_says_250_and_a_failed_look_up_never_does() {
    let mut t = transaction(policy(
        Suppressed::Discard,
        Mode::Enforce,
        &[StreamClass::Campaign],
    ));
    assert_eq!(
        add(&mut t, opted_out("*")).unwrap(),
        "250 2.1.5 Recipient ok"
    );
    assert_eq!(
        add(&mut t, Finding::Unavailable).unwrap(),
        "451 4.3.0 Temporary lookup failure"
    );
    assert_eq!(t.recipients[0].verdict(), Verdict::Discard);
    assert_eq!(t.recipients[1].verdict(), Verdict::Defer);
}

#[test]
fn observing_relays_everything_and_keeps_the_judgement() {
    let mut t = transaction(policy(
        Suppressed::Reject,
        Mode::Observe,
        &[StreamClass::Campaign],
    ));
    assert_eq!(add(&mut t, opted_out("*")), None);
    assert_eq!(add(&mut t, Finding::Unavailable), None);
    accept_all(&mut t);
    let stream = Arc::clone(&t.stream);
    assert_eq!(t.rejudge(stream, &MessageScopes::default(), NOW), 0);
    assert_eq!(t.recipients[0].judgement.reason, Some(Reason::OptOut));
    assert!(!t.policy.header_may_take_out());
    assert!(t.is_observed(&t.recipients[0]));
}

#[test]
fn who_waits_for_the_header_is_not_observed() {
    let classes = [StreamClass::Campaign, StreamClass::Transactional];
    let mut t = transaction(policy(Suppressed::Reject, Mode::Enforce, &classes));
    assert_eq!(add(&mut t, opted_out("*")), None, "the header decides");
    accept_all(&mut t);
    assert!(!t.is_observed(&t.recipients[0]));
    assert_eq!(t.recipients[0].verdict(), Verdict::Relay);
}

#[test]
fn a_header_takes_out_who_left_the_list_it_names() {
    let mut t = transaction(policy(
        Suppressed::Reject,
        Mode::Enforce,
        &[StreamClass::Campaign],
    ));
    assert_eq!(add(&mut t, Finding::Clear), None);
    accept_all(&mut t);
    assert!(!t.needs_header(), "nothing in the header could matter");
    assert_eq!(add(&mut t, opted_out("list:news.example.com")), None);
    accept_all(&mut t);
    assert!(t.needs_header());
    let scopes = MessageScopes {
        list: Scope::list("news.example.com").ok(),
        topic: None,
    };
    let stream = Arc::clone(&t.stream);
    assert_eq!(t.rejudge(stream, &scopes, NOW), 1);
    assert_eq!(t.accepted().count(), 1);
    assert_eq!(t.recipients[1].verdict(), Verdict::Discard);
}

#[test]
fn a_header_may_choose_a_stream_that_lets_the_recipient_pass() {
    let classes = [StreamClass::Campaign, StreamClass::Transactional];
    let mut t = transaction(policy(Suppressed::Reject, Mode::Enforce, &classes));
    assert_eq!(add(&mut t, opted_out("*")), None, "the header decides");
    assert_eq!(
        add(&mut t, bounced(None)).unwrap(),
        "550 5.1.1 id Recipient suppressed (hard bounce)",
        "no stream it could choose lets it pass"
    );
    accept_all(&mut t);
    assert!(t.needs_header());
    let receipts = Arc::clone(t.policy.choose("Transactional").unwrap());
    assert_eq!(t.rejudge(receipts, &MessageScopes::default(), NOW), 0);
    let campaign = Arc::clone(t.policy.choose("campaign").unwrap());
    assert_eq!(t.rejudge(campaign, &MessageScopes::default(), NOW), 1);
    assert!(t.policy.choose("personal").is_none());
}

#[test]
fn w14_a_header_can_take_out_where_scopes_or_streams_are_read() {
    let can = |classes: &[StreamClass]| {
        policy(Suppressed::Reject, Mode::Enforce, classes).header_may_take_out()
    };
    assert!(can(&[StreamClass::Campaign]));
    assert!(!can(&[StreamClass::Transactional]));
    assert!(!can(&[StreamClass::Personal]));
    assert!(can(&[StreamClass::Transactional, StreamClass::Personal]));
}
