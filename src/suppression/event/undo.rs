//! An event is *undone* when it was learnt by mistake: what it did is taken back, and nothing else.
//!
//! What a person or an operator did meanwhile stays. The undone event stays in the history and its id
//! stays remembered, so its report, should it come again, counts nothing.

use serde::{Deserialize, Serialize};

use super::{BounceKind, Coupling, Effect, EventRules};
use crate::suppression::Scope;
use crate::suppression::record::{Record, Reset};
use crate::timestamp::Timestamp;

/// What an event had done that is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undone", rename_all = "snake_case")]
pub enum Undone {
    /// It counted a bounce.
    Bounce {
        /// Of this kind.
        kind: BounceKind,
    },
    /// It recorded a complaint.
    Complaint {
        /// About this stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
    },
    /// It recorded an opt-out.
    OptOut {
        /// Of this scope.
        scope: Scope,
    },
}

impl Undone {
    /// Takes back from the record what an event of this time did to it.
    pub(super) fn take_back(
        &self,
        record: &mut Record,
        of: Timestamp,
        now: Timestamp,
        rules: &EventRules,
    ) -> Effect {
        let changed = match self {
            Self::Bounce { kind } => take_back_bounce(record, *kind, (of, now), rules),
            Self::Complaint { stream } => take_back_complaint(record, stream.as_deref(), of),
            Self::OptOut { scope } => take_back_opt_out(record, scope, of),
        };
        if changed {
            Effect::Changed
        } else {
            Effect::AlreadySo
        }
    }
}

fn take_back_bounce(
    record: &mut Record,
    kind: BounceKind,
    (of, now): (Timestamp, Timestamp),
    rules: &EventRules,
) -> bool {
    let (axis, reset, (limit, window), coupling) = match kind {
        BounceKind::Hard => (
            &mut record.hard,
            &record.hard_reset,
            (1, None),
            Coupling::HardBounce,
        ),
        BounceKind::Soft => (
            &mut record.soft,
            &record.soft_reset,
            (rules.soft_limit, rules.soft_window),
            Coupling::SoftBounce,
        ),
    };
    // A reset took it back already, and what was counted since then is something else.
    if reset.as_ref().is_some_and(|Reset { at, .. }| *at >= of) {
        return false;
    }
    let Some(bounces) = axis else {
        return false;
    };
    let first = bounces.first;
    if bounces.count > 1 {
        bounces.count -= 1;
        if let Some(place) = bounces.recent.iter().position(|at| *at == of) {
            bounces.recent.remove(place);
        }
    } else {
        *axis = None;
    }
    let active = axis
        .as_ref()
        .is_some_and(|bounces| bounces.counted(window, now) >= limit);
    if !active {
        uncouple(record, coupling, first);
    }
    true
}

/// Clears Do Not Email if this axis set it by itself, not before `since`.
fn uncouple(record: &mut Record, axis: Coupling, since: Timestamp) {
    let by_the_axis = record
        .do_not_email
        .as_ref()
        .is_some_and(|block| block.auto && block.why == axis.why() && block.at >= since);
    if by_the_axis {
        record.do_not_email = None;
    }
}

fn take_back_complaint(record: &mut Record, stream: Option<&str>, of: Timestamp) -> bool {
    let Some(complaint) = &mut record.complaint else {
        return false;
    };
    if complaint.at == of {
        if complaint.also.is_empty() {
            record.complaint = None;
        } else {
            // Another complaint stands: it is now the first.
            complaint.stream = Some(complaint.also.remove(0));
        }
        return true;
    }
    let before = complaint.also.len();
    complaint.also.retain(|also| Some(also.as_str()) != stream);
    complaint.also.len() < before
}

fn take_back_opt_out(record: &mut Record, scope: &Scope, of: Timestamp) -> bool {
    // One that was said again since then was not said by mistake.
    let is_it = record
        .opt_outs
        .get(scope)
        .is_some_and(|opt_out| opt_out.at == of && opt_out.last.is_none());
    if !is_it {
        return false;
    }
    record.opt_outs.remove(scope);
    if *scope == Scope::All {
        uncouple(record, Coupling::OptOut, of);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Event, EventId, Grounds};
    use super::*;

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
        assert!(left.is_about("offers") && !left.is_about("news"));
        let (record, _) = after(&rules, &[&one, &two, &undo(3, &two, of(Some("offers")))]);
        let left = record.complaint.unwrap();
        assert!(!left.is_about("offers") && left.is_about("news"));

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
}
