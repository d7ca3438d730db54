use super::*;
use crate::suppression::event::{BounceKind, Change, Event, EventId, EventRules, Grounds};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn changed(changes: &[Change]) -> Record {
    let mut record = Record::default();
    for change in changes {
        let event = Event {
            id: EventId::of(&[b"x"]),
            at: Timestamp::from_millis(1),
            actor: "t".into(),
            via: "t".into(),
            message_at: None,
            address: None,
            change: change.clone(),
        };
        record = event.apply(&record, &EventRules::default()).record;
    }
    record
}

fn out_of(scope: &str) -> Change {
    Change::OptOut {
        scope: scope.parse().unwrap(),
        grounds: Grounds::default(),
    }
}

fn into(scope: &str) -> Change {
    Change::OptIn {
        scope: scope.parse().unwrap(),
        grounds: Grounds::default(),
    }
}

fn bounced(kind: BounceKind) -> Change {
    Change::Bounce {
        reason: None,
        kind,
        status: None,
        diagnostic: None,
        campaign: None,
    }
}

fn complained(stream: Option<&str>) -> Change {
    Change::Complaint {
        stream: stream.map(str::to_owned),
        campaign: None,
    }
}

fn blocked() -> Change {
    Change::Block {
        why: "x".into(),
        until: None,
    }
}

fn reason(record: &Record, stream: &Stream, scopes: &MessageScopes) -> Option<Reason> {
    let judgement = judge(&Finding::known(record), stream, scopes, NOW);
    assert_eq!(
        judgement.verdict == Verdict::Reject,
        judgement.reason.is_some()
    );
    judgement.reason
}

/// One line of the table in the design: an axis, and what blocks in each class.
fn check(
    changes: &[Change],
    campaign: Option<Reason>,
    transactional: Option<Reason>,
    personal: Option<Reason>,
) {
    let record = changed(changes);
    let scopes = MessageScopes::default();
    let on = |class| reason(&record, &Stream::new("s", class), &scopes);
    assert_eq!(on(StreamClass::Campaign), campaign, "{changes:?} campaign");
    assert_eq!(
        on(StreamClass::Transactional),
        transactional,
        "{changes:?} transactional"
    );
    assert_eq!(on(StreamClass::Personal), personal, "{changes:?} personal");
}

#[test]
fn the_table_of_defaults() {
    use Reason::{Complaint, DoNotEmail, HardBounce, OptOut, SoftBounce};
    check(&[], None, None, None);
    check(
        &[bounced(BounceKind::Hard)],
        Some(HardBounce),
        Some(HardBounce),
        None,
    );
    check(&vec![bounced(BounceKind::Soft); 4], None, None, None);
    check(
        &vec![bounced(BounceKind::Soft); 5],
        Some(SoftBounce),
        Some(SoftBounce),
        None,
    );
    check(
        &[complained(Some("s"))],
        Some(Complaint),
        Some(Complaint),
        None,
    );
    check(&[complained(Some("other"))], Some(Complaint), None, None);
    check(&[blocked()], Some(DoNotEmail), None, None);
    check(&[out_of("*")], Some(OptOut), None, None);
    check(&[out_of("stream:s")], Some(OptOut), None, None);
    check(&[out_of("stream:other")], None, None, None);
    check(&[out_of("list:news.example.com")], None, None, None);
}

#[test]
fn erasure_blocks_campaigns_only() {
    let record = Record {
        erased: Some(super::super::record::Erased {
            at: NOW,
            by: "x".into(),
        }),
        ..changed(&[bounced(BounceKind::Hard)])
    };
    let scopes = MessageScopes::default();
    assert_eq!(
        reason(&record, &Stream::new("s", StreamClass::Campaign), &scopes),
        Some(Reason::Erased)
    );
    assert_eq!(
        reason(&record, &Stream::new("s", StreamClass::Personal), &scopes),
        None
    );
}

#[test]
fn the_first_of_several_reasons_is_reported_and_all_are_told() {
    let record = changed(&[
        out_of("*"),
        blocked(),
        complained(None),
        bounced(BounceKind::Hard),
    ]);
    let judgement = judge(
        &Finding::known(&record),
        &Stream::new("s", StreamClass::Campaign),
        &MessageScopes::default(),
        NOW,
    );
    assert_eq!(judgement.reason, Some(Reason::HardBounce));
    assert_eq!(
        judgement.active,
        [
            Reason::HardBounce,
            Reason::Complaint,
            Reason::DoNotEmail,
            Reason::OptOut
        ]
    );
}

#[test]
fn a_personal_stream_reports_what_it_does_not_block() {
    let record = changed(&[bounced(BounceKind::Hard)]);
    let judgement = judge(
        &Finding::known(&record),
        &Stream::new("s", StreamClass::Personal),
        &MessageScopes::default(),
        NOW,
    );
    assert_eq!(
        (judgement.verdict, judgement.reason),
        (Verdict::Relay, None)
    );
    assert_eq!(judgement.active, [Reason::HardBounce]);
}

#[test]
fn an_opt_out_of_a_list_or_topic_blocks_in_that_scope_only() {
    let campaign = Stream::new("s", StreamClass::Campaign);
    let list = |name: &str| MessageScopes {
        list: Scope::list(name).ok(),
        topic: None,
    };
    let topic = |name: &str| MessageScopes {
        list: None,
        topic: Scope::topic(name).ok(),
    };
    let record = changed(&[out_of("list:news.example.com"), out_of("topic:offers")]);
    assert_eq!(
        reason(&record, &campaign, &list("NEWS.example.com")),
        Some(Reason::OptOut)
    );
    assert_eq!(reason(&record, &campaign, &list("other.example.com")), None);
    assert_eq!(
        reason(&record, &campaign, &topic("Offers")),
        Some(Reason::OptOut)
    );
    assert_eq!(reason(&record, &campaign, &topic("events")), None);
    assert_eq!(reason(&record, &campaign, &MessageScopes::default()), None);
}

#[test]
fn a_block_with_an_end_ends() {
    let until = |millis| {
        changed(&[Change::Block {
            why: "x".into(),
            until: Some(Timestamp::from_millis(millis)),
        }])
    };
    let campaign = Stream::new("s", StreamClass::Campaign);
    let scopes = MessageScopes::default();
    assert_eq!(
        reason(&until(1_000_001), &campaign, &scopes),
        Some(Reason::DoNotEmail)
    );
    assert_eq!(reason(&until(1_000_000), &campaign, &scopes), None);
}

#[test]
fn required_consent_must_be_on_record_and_in_scope() {
    let strict = Stream {
        consent_required: true,
        ..Stream::new("s", StreamClass::Campaign)
    };
    let none = MessageScopes::default();
    assert_eq!(
        judge(&Finding::Clear, &strict, &none, NOW).reason,
        Some(Reason::NoConsent)
    );
    assert_eq!(reason(&changed(&[into("*")]), &strict, &none), None);
    assert_eq!(reason(&changed(&[into("stream:s")]), &strict, &none), None);
    assert_eq!(
        reason(&changed(&[into("stream:t")]), &strict, &none),
        Some(Reason::NoConsent)
    );
}

#[test]
fn s1_no_answer_is_never_clear() {
    let scopes = MessageScopes::default();
    let on = |stream: &Stream| {
        let judgement = judge(&Finding::Unavailable, stream, &scopes, NOW);
        assert_eq!(judgement.reason, Some(Reason::Unavailable));
        judgement.verdict
    };
    for class in [
        StreamClass::Campaign,
        StreamClass::Transactional,
        StreamClass::Personal,
    ] {
        let mut stream = Stream::new("s", class);
        assert_eq!(on(&stream), Verdict::Defer);
        stream.pass_unavailable = true;
        let expected = if class == StreamClass::Transactional {
            Verdict::Relay
        } else {
            Verdict::Defer
        };
        assert_eq!(
            on(&stream),
            expected,
            "failing open is for transactional mail only"
        );
    }
}

#[test]
fn a_stream_may_choose_what_it_honours() {
    let stream = Stream {
        honours: vec![Axis::OptOut],
        ..Stream::new("s", StreamClass::Transactional)
    };
    let scopes = MessageScopes::default();
    assert_eq!(
        reason(&changed(&[out_of("*")]), &stream, &scopes),
        Some(Reason::OptOut)
    );
    assert_eq!(
        reason(&changed(&[bounced(BounceKind::Hard)]), &stream, &scopes),
        None
    );
}

#[test]
fn soft_bounces_out_of_the_window_block_no_more() {
    let rules = EventRules {
        soft_window: Some(Duration::from_secs(60)),
        ..EventRules::default()
    };
    let mut record = Record::default();
    for second in 0..5 {
        let event = Event {
            id: EventId::of(&[b"x"]),
            at: Timestamp::from_millis(second * 1000),
            actor: "t".into(),
            via: "t".into(),
            message_at: None,
            address: None,
            change: bounced(BounceKind::Soft),
        };
        record = event.apply(&record, &rules).record;
    }
    let mut stream = Stream::new("campaign", StreamClass::Campaign);
    stream.soft_window = rules.soft_window;
    let finding = Finding::known(&record);
    let verdict_at = |second: u64| {
        let now = Timestamp::from_millis(second * 1000);
        judge(&finding, &stream, &MessageScopes::default(), now).verdict
    };
    assert_eq!(verdict_at(59), Verdict::Reject);
    assert_eq!(verdict_at(60), Verdict::Relay, "the first is over");
}
