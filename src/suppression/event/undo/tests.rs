//! What an undone event takes back, and what it leaves.

use super::super::{Change, Event, EventId, Grounds};
use super::*;
use crate::suppression::record::Complaint;
use crate::suppression::standing::Complained;

/// Whether mail of this stream was complained about.
fn is_about(complaint: &Complaint, stream: &str) -> bool {
    Complained::from(complaint).is_about(stream)
}

fn event(at: u64, change: Change) -> Event {
    Event {
        id: EventId::of(&[&at.to_be_bytes()]),
        at: Timestamp::from_millis(at),
        actor: "mx.example.net".to_owned(),
        via: "returns".to_owned(),
        message_at: None,
        address: Some("a@example.com".to_owned()),
        change,
    }
}

fn bounce(at: u64, kind: BounceKind) -> Event {
    event(
        at,
        Change::Bounce {
            kind,
            reason: None,
            status: None,
            diagnostic: None,
            campaign: None,
        },
    )
}

fn undo(at: u64, of: &Event, undone: Undone) -> Event {
    event(
        at,
        Change::Undo {
            event: of.id.clone(),
            of: of.at,
            undone,
            reason: Some("a mistake".to_owned()),
        },
    )
}

fn reset(at: u64) -> Event {
    event(
        at,
        Change::ResetBounces {
            hard: true,
            soft: true,
            reason: None,
        },
    )
}

fn after(rules: &EventRules, events: &[&Event]) -> (Record, Effect) {
    let mut record = Record::default();
    let mut effect = Effect::AlreadySo;
    for event in events {
        let applied = event.apply(&record, rules);
        (record, effect) = (applied.record, applied.effect);
    }
    (record, effect)
}

const HARD: Undone = Undone::Bounce {
    kind: BounceKind::Hard,
};

#[test]
fn a_bounce_is_one_less_and_the_last_is_none() {
    let rules = EventRules::default();
    let (one, two) = (bounce(1, BounceKind::Hard), bounce(2, BounceKind::Hard));
    let (record, effect) = after(&rules, &[&one, &two, &undo(3, &one, HARD)]);
    assert_eq!((record.hard.unwrap().count, effect), (1, Effect::Changed));
    let both = [&one, &two, &undo(3, &one, HARD), &undo(4, &two, HARD)];
    let (record, effect) = after(&rules, &both);
    assert_eq!((record.hard, effect), (None, Effect::Changed));
    let (record, effect) = after(&rules, &[&one, &undo(3, &one, HARD), &undo(4, &two, HARD)]);
    assert_eq!((record.hard, effect), (None, Effect::AlreadySo));
    let soft = bounce(1, BounceKind::Soft);
    let (record, effect) = after(&rules, &[&soft, &undo(3, &one, HARD)]);
    assert_eq!(
        (record.soft.unwrap().count, effect),
        (1, Effect::AlreadySo),
        "the other kind stays"
    );
}

#[test]
fn what_a_reset_cleared_is_not_cleared_again() {
    let rules = EventRules::default();
    let (old, new) = (bounce(1, BounceKind::Hard), bounce(5, BounceKind::Hard));
    let (record, effect) = after(&rules, &[&old, &reset(3), &new, &undo(9, &old, HARD)]);
    assert_eq!((record.hard.unwrap().count, effect), (1, Effect::AlreadySo));
    let (record, _) = after(&rules, &[&old, &reset(3), &new, &undo(9, &new, HARD)]);
    assert_eq!(record.hard, None);
    assert!(record.hard_reset.is_some());
}

#[test]
fn do_not_email_goes_only_if_the_bounce_set_it() {
    let rules = EventRules {
        soft_limit: 2,
        soft_window: None,
        auto_do_not_email: vec![Coupling::HardBounce, Coupling::SoftBounce],
    };
    let (one, two) = (bounce(1, BounceKind::Hard), bounce(2, BounceKind::Hard));
    let (record, _) = after(&rules, &[&one, &undo(3, &one, HARD)]);
    assert_eq!(record.do_not_email, None);
    let (record, _) = after(&rules, &[&one, &two, &undo(3, &one, HARD)]);
    assert!(record.do_not_email.is_some(), "another bounce stands");
    let (record, _) = after(
        &rules,
        &[&one, &two, &undo(3, &one, HARD), &undo(4, &two, HARD)],
    );
    assert_eq!(record.do_not_email, None);
    let block = event(
        2,
        Change::Block {
            why: "asked by phone".to_owned(),
            until: None,
        },
    );
    let (record, _) = after(&rules, &[&one, &block, &undo(3, &one, HARD)]);
    assert!(record.do_not_email.is_some(), "an operator's own");
    let later = bounce(5, BounceKind::Hard);
    let (record, _) = after(&rules, &[&one, &reset(3), &later, &undo(9, &later, HARD)]);
    assert!(
        record.do_not_email.is_some(),
        "set by a bounce before the reset"
    );
    let (first, second) = (bounce(1, BounceKind::Soft), bounce(2, BounceKind::Soft));
    let soft = Undone::Bounce {
        kind: BounceKind::Soft,
    };
    let (record, _) = after(&rules, &[&first, &second, &undo(3, &second, soft)]);
    assert_eq!(record.do_not_email, None);
    assert_eq!(record.soft.unwrap().count, 1);
}

#[test]
fn a_complaint_and_an_opt_out_go_unless_they_were_said_again() {
    let rules = EventRules::default();
    let complaint = |at, stream: Option<&str>| {
        let stream = stream.map(str::to_owned);
        let campaign = None;
        event(at, Change::Complaint { stream, campaign })
    };
    let of = |stream: Option<&str>| Undone::Complaint {
        stream: stream.map(str::to_owned),
    };
    let one = complaint(1, Some("news"));
    let two = complaint(2, Some("offers"));
    let (record, _) = after(&rules, &[&one, &undo(3, &one, of(Some("news")))]);
    assert_eq!(record.complaint, None);
    let (record, _) = after(&rules, &[&one, &two, &undo(3, &one, of(Some("news")))]);
    let left = record.complaint.unwrap();
    assert!(is_about(&left, "offers") && !is_about(&left, "news"));
    let (record, _) = after(&rules, &[&one, &two, &undo(3, &two, of(Some("offers")))]);
    let left = record.complaint.unwrap();
    assert!(!is_about(&left, "offers") && is_about(&left, "news"));

    let opt_out = |at| {
        let grounds = Grounds::default();
        let scope = Scope::All;
        event(at, Change::OptOut { scope, grounds })
    };
    let scope = Undone::OptOut { scope: Scope::All };
    let (one, two) = (opt_out(1), opt_out(2));
    let (record, _) = after(&rules, &[&one, &undo(3, &one, scope.clone())]);
    assert!(record.opt_outs.is_empty());
    let (record, effect) = after(&rules, &[&one, &two, &undo(3, &one, scope)]);
    assert_eq!((record.opt_outs.len(), effect), (1, Effect::AlreadySo));
}

#[test]
fn it_is_kept_as_it_was_written() {
    let one = bounce(1, BounceKind::Hard);
    let undo = undo(3, &one, HARD);
    let text = serde_json::to_string(&undo).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), undo);
    assert!(text.contains("\"change\":\"undo\""), "{text}");
}

fn complaint(at: u64, stream: Option<&str>) -> Event {
    let stream = stream.map(str::to_owned);
    let campaign = None;
    event(at, Change::Complaint { stream, campaign })
}

fn of_complaint(stream: Option<&str>) -> Undone {
    Undone::Complaint {
        stream: stream.map(str::to_owned),
    }
}

#[test]
fn complaints_go_one_by_one_whatever_the_order() {
    let rules = EventRules::default();
    let (news, offers) = (complaint(1, Some("news")), complaint(2, Some("offers")));
    let undo_news = undo(3, &news, of_complaint(Some("news")));
    let undo_offers = undo(4, &offers, of_complaint(Some("offers")));
    for undone in [[&undo_news, &undo_offers], [&undo_offers, &undo_news]] {
        let (record, effect) = after(&rules, &[&news, &offers, undone[0], undone[1]]);
        assert_eq!((record.complaint, effect), (None, Effect::Changed));
    }
    let left = after(&rules, &[&news, &offers, &undo_news]).0.complaint;
    assert_eq!(
        left.unwrap().at,
        offers.at,
        "the time of the one that stands"
    );
}

#[test]
fn a_general_complaint_stands_by_itself() {
    let rules = EventRules::default();
    let (news, general) = (complaint(1, Some("news")), complaint(2, None));
    let undo_news = undo(3, &news, of_complaint(Some("news")));
    let undo_general = undo(3, &general, of_complaint(None));
    let (record, _) = after(&rules, &[&news, &general, &undo_news]);
    assert!(is_about(&record.complaint.unwrap(), "alerts"));
    let (record, _) = after(&rules, &[&news, &general, &undo_general]);
    let left = record.complaint.unwrap();
    assert!(is_about(&left, "news") && !is_about(&left, "alerts"));
    // The other way round.
    let (general, news) = (complaint(1, None), complaint(2, Some("news")));
    let undo_general = undo(3, &general, of_complaint(None));
    let (record, _) = after(&rules, &[&general, &news, &undo_general]);
    let left = record.complaint.unwrap();
    assert!(is_about(&left, "news") && !is_about(&left, "alerts"));
}

#[test]
fn what_was_said_again_stands_and_is_known_as_such() {
    let rules = EventRules::default();
    for stream in [None, Some("news")] {
        let other = complaint(1, Some("offers"));
        let (one, two) = (complaint(2, stream), complaint(3, stream));
        let undo_one = undo(4, &one, of_complaint(stream));
        for before in [&[][..], &[&other]] {
            let events = [before, &[&one, &two, &undo_one]].concat();
            let (record, effect) = after(&rules, &events);
            assert_eq!(effect, Effect::AlreadySo);
            assert!(of_complaint(stream).is_said_again(&record, one.at));
            assert!(!of_complaint(stream).is_said_again(&record, two.at));
            assert!(is_about(&record.complaint.unwrap(), "news"));
        }
    }
    let grounds = Grounds::default;
    let opt_out = |at| {
        let (scope, grounds) = (Scope::All, grounds());
        event(at, Change::OptOut { scope, grounds })
    };
    let (record, _) = after(&rules, &[&opt_out(1), &opt_out(2)]);
    let of = Undone::OptOut { scope: Scope::All };
    assert!(of.is_said_again(&record, Timestamp::from_millis(1)));
    assert!(!of.is_said_again(&record, Timestamp::from_millis(2)));
}

#[test]
fn do_not_email_stays_if_another_axis_would_have_set_it() {
    let rules = EventRules {
        auto_do_not_email: vec![Coupling::HardBounce, Coupling::OptOut],
        ..EventRules::default()
    };
    let opt_out = |at| {
        let (scope, grounds) = (Scope::All, Grounds::default());
        event(at, Change::OptOut { scope, grounds })
    };
    let unblock = |at| {
        let reason = "asked".to_owned();
        event(at, Change::Unblock { reason })
    };
    let hard = bounce(1, BounceKind::Hard);
    let (record, _) = after(&rules, &[&hard, &opt_out(2), &undo(3, &hard, HARD)]);
    let block = record.do_not_email.unwrap();
    assert_eq!((block.why.as_str(), block.auto), ("opt-out", true));
    assert_eq!(block.at, Timestamp::from_millis(2));
    // The opt-out set it, an operator cleared it, the bounce set it again.
    let hard = bounce(5, BounceKind::Hard);
    let story = [&opt_out(2), &unblock(3), &hard, &undo(6, &hard, HARD)];
    assert_eq!(after(&rules, &story).0.do_not_email, None);
}

#[test]
fn what_is_known_of_the_last_bounce_goes_with_it() {
    let rules = EventRules::default();
    let of = |at, words: &str| {
        let mut event = bounce(at, BounceKind::Hard);
        if let Change::Bounce { diagnostic, .. } = &mut event.change {
            *diagnostic = Some(words.to_owned());
        }
        event
    };
    let (one, two) = (of(1, "gone"), of(2, "directory broke"));
    let (record, _) = after(&rules, &[&one, &two, &undo(3, &two, HARD)]);
    let hard = record.hard.unwrap();
    assert_eq!((hard.count, hard.diagnostic), (1, None));
    assert_eq!((hard.first, hard.last), (one.at, one.at));
    let (record, _) = after(&rules, &[&one, &two, &undo(3, &one, HARD)]);
    let hard = record.hard.unwrap();
    assert_eq!(hard.diagnostic.as_deref(), Some("directory broke"));
    assert_eq!(hard.last, two.at);
}
