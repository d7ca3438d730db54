//! An event is *undone* when it was learnt by mistake: what it did is taken back, and nothing else.
//!
//! What a person or an operator did meanwhile stays. The undone event stays in the history and its id
//! stays remembered, so its report, should it come again, counts nothing.

use serde::{Deserialize, Serialize};

use super::{BounceKind, Coupling, Effect, EventRules};
use crate::suppression::Scope;
use crate::suppression::record::{Bounces, DoNotEmail, Record, Reset};
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
            Self::OptOut { scope } => take_back_opt_out(record, scope, (of, now), rules),
        };
        if changed {
            Effect::Changed
        } else {
            Effect::AlreadySo
        }
    }

    /// Whether what an event of this time did stands because it was said again since then.
    #[must_use]
    pub fn is_said_again(&self, record: &Record, of: Timestamp) -> bool {
        match self {
            Self::Bounce { .. } => false,
            Self::Complaint { stream } => record
                .complaint
                .as_ref()
                .is_some_and(|complaint| complaint.is_said_again(stream.as_deref(), of)),
            Self::OptOut { scope } => record
                .opt_outs
                .get(scope)
                .is_some_and(|opt_out| opt_out.at == of && opt_out.last.is_some()),
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
        forget(bounces, of);
    } else {
        *axis = None;
    }
    let active = axis
        .as_ref()
        .is_some_and(|bounces| bounces.counted(window, now) >= limit);
    if !active {
        uncouple(record, coupling, (first, now), rules);
    }
    true
}

/// One bounce less of several, and what is known of the last only if that one stays.
fn forget(bounces: &mut Bounces, of: Timestamp) {
    bounces.count -= 1;
    if let Some(place) = bounces.recent.iter().position(|at| *at == of) {
        bounces.recent.remove(place);
    }
    if bounces.last == of {
        bounces.last = bounces.recent.last().copied().unwrap_or(bounces.first);
        bounces.status = None;
        bounces.diagnostic = None;
        bounces.campaign = None;
    }
}

/// Clears Do Not Email if this axis set it by itself, not before `since`; another axis that would
/// have set it since then, had it not been set, sets it now.
fn uncouple(
    record: &mut Record,
    axis: Coupling,
    (since, now): (Timestamp, Timestamp),
    rules: &EventRules,
) {
    let by_the_axis = record
        .do_not_email
        .take_if(|block| block.auto && block.why == axis.why() && block.at >= since);
    let Some(block) = by_the_axis else {
        return;
    };
    // What was there before had set it too, or somebody cleared it since.
    let next = rules
        .auto_do_not_email
        .iter()
        .filter_map(|other| Some((other, active_since(record, *other, now, rules)?)))
        .find(|(_, at)| *at >= block.at);
    record.do_not_email = next.map(|(other, at)| DoNotEmail {
        at,
        why: other.why().to_owned(),
        ..block
    });
}

/// When an axis that is active last had reason to set Do Not Email.
fn active_since(
    record: &Record,
    axis: Coupling,
    now: Timestamp,
    rules: &EventRules,
) -> Option<Timestamp> {
    match axis {
        Coupling::OptOut => record.opt_outs.get(&Scope::All).map(|opt_out| opt_out.at),
        Coupling::HardBounce => record.hard.as_ref().map(|hard| hard.last),
        Coupling::SoftBounce => record
            .soft
            .as_ref()
            .filter(|soft| soft.counted(rules.soft_window, now) >= rules.soft_limit)
            .map(|soft| soft.last),
    }
}

fn take_back_complaint(record: &mut Record, stream: Option<&str>, of: Timestamp) -> bool {
    let Some(complaint) = &record.complaint else {
        return false;
    };
    match complaint.without(stream, of) {
        Some(rest) => {
            record.complaint = rest;
            true
        }
        None => false,
    }
}

fn take_back_opt_out(
    record: &mut Record,
    scope: &Scope,
    (of, now): (Timestamp, Timestamp),
    rules: &EventRules,
) -> bool {
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
        uncouple(record, Coupling::OptOut, (of, now), rules);
    }
    true
}

#[cfg(test)]
mod tests;
