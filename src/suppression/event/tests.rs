use proptest::prelude::*;

use super::*;
use crate::suppression::record::Complaint;
use crate::suppression::standing::Complained;

/// Whether mail of this stream was complained about.
fn is_about(complaint: &Complaint, stream: &str) -> bool {
    Complained::from(complaint).is_about(stream)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn event(seconds: u64, change: Change) -> Event {
    Event {
        id: EventId::of(&[b"test", &seconds.to_be_bytes()]),
        at: at(seconds),
        actor: "tester".into(),
        via: "cli".into(),
        message_at: None,
        address: Some("a@example.com".into()),
        change,
    }
}

fn opt_out() -> Change {
    Change::OptOut {
        scope: Scope::All,
        grounds: Grounds::default(),
    }
}

fn opt_in() -> Change {
    Change::OptIn {
        scope: Scope::All,
        grounds: Grounds::default(),
    }
}

fn bounce(kind: BounceKind) -> Change {
    Change::Bounce {
        reason: None,
        kind,
        status: None,
        diagnostic: None,
        campaign: None,
    }
}

fn block(why: &str) -> Change {
    Change::Block {
        why: why.into(),
        until: None,
    }
}

fn after(events: &[Event]) -> Record {
    after_with(events, &EventRules::default())
}

fn after_with(events: &[Event], rules: &EventRules) -> Record {
    events.iter().fold(Record::default(), |record, event| {
        event.apply(&record, rules).record
    })
}

#[test]
fn an_opt_out_keeps_its_first_time() {
    let record = after(&[event(1, opt_out()), event(2, opt_out())]);
    assert_eq!(record.opt_outs[&Scope::All].at, at(1));
    let again = event(3, opt_out()).apply(&record, &EventRules::default());
    assert_eq!(again.effect, Effect::AlreadySo);
}

#[test]
fn s6_the_newest_wins_and_a_tie_suppresses() {
    assert!(
        after(&[event(1, opt_out()), event(2, opt_in())])
            .opt_outs
            .is_empty()
    );
    assert!(
        after(&[event(2, opt_in()), event(1, opt_out())])
            .opt_outs
            .is_empty()
    );
    assert!(
        !after(&[event(1, opt_in()), event(2, opt_out())])
            .opt_outs
            .is_empty()
    );
    assert!(
        !after(&[event(1, opt_in()), event(1, opt_out())])
            .opt_outs
            .is_empty()
    );
    assert!(
        !after(&[event(1, opt_out()), event(1, opt_in())])
            .opt_outs
            .is_empty()
    );
}

#[test]
fn an_opt_in_clears_neither_block_nor_bounces() {
    let record = after(&[
        event(1, opt_out()),
        event(2, block("bad debts")),
        event(3, bounce(BounceKind::Hard)),
        event(4, opt_in()),
    ]);
    assert!(record.opt_outs.is_empty());
    assert!(record.do_not_email.is_some());
    assert_eq!(record.hard.map(|hard| hard.count), Some(1));
}

#[test]
fn b9_a_late_report_does_not_count_again() {
    let reset = Change::ResetBounces {
        hard: true,
        soft: true,
        reason: None,
    };
    for restored in [reset, opt_in()] {
        let before = [event(10, bounce(BounceKind::Hard)), event(20, restored)];
        let mut late = event(30, bounce(BounceKind::Hard));
        late.message_at = Some(at(15));
        let record = after(&before);
        let applied = late.apply(&record, &EventRules::default());
        assert_eq!(applied.effect, Effect::Outdated);
        assert_eq!(applied.record.hard, record.hard);
        late.message_at = Some(at(25));
        assert_eq!(
            late.apply(&record, &EventRules::default()).effect,
            Effect::Changed
        );
    }
}

#[test]
fn bounces_are_counted_with_their_first_and_last_time() {
    let record = after(&[
        event(5, bounce(BounceKind::Soft)),
        event(9, bounce(BounceKind::Soft)),
        event(7, bounce(BounceKind::Soft)),
    ]);
    let soft = record.soft.unwrap();
    assert_eq!((soft.count, soft.first, soft.last), (3, at(5), at(9)));
    assert_eq!(record.hard, None);
}

#[test]
fn no_axis_sets_another_unless_told_to() {
    let events: Vec<_> = (1..=5)
        .map(|n| event(n, bounce(BounceKind::Soft)))
        .chain([event(6, opt_out()), event(7, bounce(BounceKind::Hard))])
        .collect();
    assert_eq!(after(&events).do_not_email, None);

    let coupled = |axis| EventRules {
        auto_do_not_email: vec![axis],
        ..EventRules::default()
    };
    let why = |record: Record| record.do_not_email.map(|block| (block.why, block.auto));
    assert_eq!(
        why(after_with(&events, &coupled(Coupling::OptOut))),
        Some(("opt-out".into(), true))
    );
    assert_eq!(
        why(after_with(&events, &coupled(Coupling::HardBounce))),
        Some(("hard bounce".into(), true))
    );
    assert_eq!(
        why(after_with(&events, &coupled(Coupling::SoftBounce))),
        Some(("soft bounces".into(), true))
    );
    assert_eq!(
        why(after_with(&events[..4], &coupled(Coupling::SoftBounce))),
        None
    );
}

#[test]
fn what_a_rule_set_outlives_the_reset_that_undoes_its_cause() {
    let rules = EventRules {
        auto_do_not_email: vec![Coupling::HardBounce],
        ..EventRules::default()
    };
    let record = after_with(
        &[
            event(1, bounce(BounceKind::Hard)),
            event(
                2,
                Change::ResetBounces {
                    hard: true,
                    soft: false,
                    reason: None,
                },
            ),
        ],
        &rules,
    );
    assert_eq!(record.hard, None);
    assert!(record.do_not_email.is_some());
}

#[test]
fn an_operators_block_takes_over_a_rules_block() {
    let rules = EventRules {
        auto_do_not_email: vec![Coupling::OptOut],
        ..EventRules::default()
    };
    let record = after_with(
        &[event(1, opt_out()), event(2, block("asked by phone"))],
        &rules,
    );
    assert!(!record.do_not_email.unwrap().auto);
}

#[test]
fn complaints_about_several_streams_are_all_kept() {
    let about = |stream: &str| Change::Complaint {
        stream: Some(stream.into()),
        campaign: None,
    };
    let record = after(&[
        event(1, about("receipts")),
        event(2, about("news")),
        event(3, about("news")),
    ]);
    let complaint = record.complaint.unwrap();
    assert!(is_about(&complaint, "receipts") && is_about(&complaint, "news"));
    assert!(!is_about(&complaint, "alerts"));
    let streams: Vec<_> = complaint.streams().collect();
    assert_eq!(streams, [Some("receipts"), Some("news")]);
}

#[test]
fn long_and_dirty_texts_are_clipped() {
    let record = after(&[event(
        1,
        block(&format!("{}\u{1b}[2J\r\n", "ä".repeat(400))),
    )]);
    let why = record.do_not_email.unwrap().why;
    assert_eq!(why.len(), TEXT_LIMIT);
    assert!(!clip("a\r\nb\u{1b}c").contains(char::is_control));
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(opt_out()),
        Just(opt_in()),
        Just(block("x")),
        Just(Change::Unblock { reason: "x".into() }),
        Just(Change::Complaint {
            stream: None,
            campaign: None
        }),
        Just(bounce(BounceKind::Hard)),
        Just(bounce(BounceKind::Soft)),
        Just(Change::ResetBounces {
            hard: true,
            soft: true,
            reason: None
        }),
    ]
}

proptest! {
    #[test]
    fn consent_does_not_depend_on_the_order_of_arrival(
        mut events in proptest::collection::vec((0u64..20, any::<bool>()), 1..8),
        seed in any::<u64>(),
    ) {
        let make = |list: &[(u64, bool)]| -> Vec<Event> {
            list.iter().map(|&(at, out)| event(at, if out { opt_out() } else { opt_in() })).collect()
        };
        let one = after(&make(&events)).opt_outs.contains_key(&Scope::All);
        let length = events.len();
        events.rotate_left((seed as usize) % length);
        events.reverse();
        let other = after(&make(&events)).opt_outs.contains_key(&Scope::All);
        let newest = events.iter().map(|e| e.0).max().unwrap();
        let expected = events.iter().any(|&(at, out)| at == newest && out);
        prop_assert_eq!(one, expected);
        prop_assert_eq!(other, expected);
    }

    #[test]
    fn events_and_records_survive_json(changes in proptest::collection::vec((1u64..50, any_change()), 0..10)) {
        let events: Vec<_> = changes.into_iter().map(|(at, change)| event(at, change)).collect();
        for event in &events {
            let text = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event);
        }
        let record = after(&events);
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

#[test]
fn soft_bounces_of_the_window_count() {
    const DAY: u64 = 24 * 3600 * 1000;
    let rules = EventRules {
        soft_limit: 3,
        soft_window: Some(Duration::from_millis(10 * DAY)),
        auto_do_not_email: vec![Coupling::SoftBounce],
    };
    let mut record = Record::default();
    let mut told = Vec::new();
    for day in [1, 5, 20, 24, 25] {
        let at = Timestamp::from_millis(day * DAY);
        let event = Event {
            id: EventId::of(&[&day.to_be_bytes()]),
            at,
            actor: "mx.example.net".to_owned(),
            via: "returns".to_owned(),
            message_at: None,
            address: None,
            change: Change::Bounce {
                kind: BounceKind::Soft,
                reason: None,
                status: None,
                diagnostic: None,
                campaign: None,
            },
        };
        record = event.apply(&record, &rules).record;
        let soft = record.soft.as_ref().unwrap();
        told.push((
            soft.count,
            soft.counted(rules.soft_window, at),
            soft.recent.len(),
            record.do_not_email.is_some(),
        ));
    }
    assert_eq!(
        told,
        [
            (1, 1, 1, false),
            (2, 2, 2, false),
            (3, 1, 1, false),
            (4, 2, 2, false),
            (5, 3, 3, true)
        ]
    );
    let soft = record.soft.unwrap();
    let later = Timestamp::from_millis(31 * DAY);
    assert_eq!(soft.counted(rules.soft_window, later), 2);
    assert_eq!(soft.counted(None, later), 5, "without a window all count");
}

fn listed(seconds: u64, change: Change) -> Event {
    Event {
        via: IMPORT.to_owned(),
        ..event(seconds, change)
    }
}

fn complaint() -> Change {
    Change::Complaint {
        stream: None,
        campaign: None,
    }
}

#[test]
fn a4_what_a_list_says_of_what_is_on_file_is_noted_once() {
    let rules = EventRules::default();
    for change in [opt_out(), bounce(BounceKind::Hard), complaint()] {
        let before = after(&[event(10, change.clone())]);
        let first = listed(20, change.clone()).apply(&before, &rules);
        assert_eq!(first.effect, Effect::AlreadySo);
        for seconds in [1, 20, 30, 40] {
            let again = listed(seconds, change.clone()).apply(&first.record, &rules);
            assert_eq!(again.effect, Effect::AlreadySo);
            assert_eq!(again.record, first.record, "{change:?} at {seconds}");
        }
    }
}

#[test]
fn a4_a_hard_bounce_of_a_list_outlives_the_undo_of_one_that_was_learnt() {
    let learnt = event(10, bounce(BounceKind::Hard));
    let undo = event(
        50,
        Change::Undo {
            event: learnt.id.clone(),
            of: learnt.at,
            undone: Undone::Bounce {
                kind: BounceKind::Hard,
            },
            reason: None,
        },
    );
    let list = listed(5, bounce(BounceKind::Hard));
    for events in [
        [learnt.clone(), list.clone(), undo.clone()],
        [list.clone(), learnt.clone(), undo.clone()],
    ] {
        let hard = after(&events).hard.unwrap();
        assert_eq!((hard.count, hard.listed), (1, Some(at(5))));
    }
    let counted = after(&[list, learnt, event(30, bounce(BounceKind::Hard))]);
    assert_eq!(counted.hard.unwrap().count, 3);
}

#[test]
fn a4_a_list_clears_nothing_and_yields_to_what_is_newer() {
    let reset = Change::ResetBounces {
        hard: true,
        soft: true,
        reason: None,
    };
    let rules = EventRules::default();
    for (newer, change) in [
        (opt_in(), opt_out()),
        (opt_in(), complaint()),
        (opt_in(), bounce(BounceKind::Hard)),
        (reset, bounce(BounceKind::Hard)),
    ] {
        let before = after(&[event(20, newer)]);
        let applied = listed(10, change.clone()).apply(&before, &rules);
        assert_eq!(applied.effect, Effect::Outdated, "{change:?}");
        assert_eq!(applied.record, before);
        let applied = listed(30, change).apply(&before, &rules);
        assert_eq!(applied.effect, Effect::Changed);
    }
}
