//! An [`Event`] is what changes a record: somebody opted out, a message came back, an operator decided.
//!
//! [`Event::apply`] is the only place that changes a record. Stores only read, compare and remember.

mod bounce;
mod clipped;
mod consent;
mod id;
mod undo;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{Complaint, DoNotEmail, Record, Reset};
use super::scope::Scope;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

pub use self::id::EventId;
pub use self::undo::Undone;

/// Longest diagnostic, reason or remark that is kept, in octets.
pub const TEXT_LIMIT: usize = 500;

/// [`Event::via`] of what a list says that was imported.
///
/// Such an event tells how things stand, not that something happened once more: it adds what is not
/// on file and never counts again, so that the same list twice changes nothing.
pub const IMPORT: &str = "import";

/// Something that happened to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Tells it from every other.
    pub id: EventId,
    /// When we received it. Events are ordered by this, never by the date a report claims (S6).
    pub at: Timestamp,
    /// Who: an operator's name, `recipient`, or the host that reported.
    pub actor: String,
    /// How it came: `cli`, `api`, `returns`, `upstream`, `one-click`, `import` and so on.
    pub via: String,
    /// When the message it is about was sent, where that is proven (B9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_at: Option<Timestamp>,
    /// The readable address, kept by a record that has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it changes.
    pub change: Change,
}

/// What an event changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// The recipient, or somebody for them, withdrew consent in a scope.
    OptOut {
        /// What it covers.
        scope: Scope,
        /// Why, by whose words, on what evidence.
        #[serde(flatten)]
        grounds: Grounds,
    },
    /// The recipient gave consent in a scope.
    OptIn {
        /// What it covers.
        scope: Scope,
        /// Why, by whose words, on what evidence.
        #[serde(flatten)]
        grounds: Grounds,
    },
    /// An operator set Do Not Email.
    Block {
        /// Why.
        why: String,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// An operator cleared Do Not Email.
    Unblock {
        /// Why.
        reason: String,
    },
    /// The recipient complained.
    Complaint {
        /// About mail of which stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        /// The campaign of the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        campaign: Option<String>,
    },
    /// A message came back.
    Bounce {
        /// What it does to the address.
        kind: BounceKind,
        /// Why, in the words of [`crate::bounce::Cause`]; absent in what was recorded by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The enhanced status in the report.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<EnhancedStatus>,
        /// The words of the host that refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diagnostic: Option<String>,
        /// The campaign of the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        campaign: Option<String>,
    },
    /// An operator set bounces back to none.
    ResetBounces {
        /// The hard ones.
        hard: bool,
        /// The soft ones.
        soft: bool,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator took back what was learnt by mistake.
    Undo {
        /// The event that is taken back.
        event: EventId,
        /// When that one was received.
        of: Timestamp,
        /// What it had done.
        #[serde(flatten)]
        undone: Undone,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Why an act of consent is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// The campaign whose message led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// What a returned message does to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BounceKind {
    /// The mailbox is permanently not there: one is enough.
    Hard,
    /// Passing trouble of the mailbox: the limit decides.
    Soft,
}

/// An axis that can also set Do Not Email (`auto_do_not_email`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coupling {
    /// Any opt-out of everything.
    OptOut,
    /// A hard bounce.
    HardBounce,
    /// The soft bounce that reaches the limit.
    SoftBounce,
}

impl Coupling {
    /// Why Do Not Email is set, as its field says it.
    const fn why(self) -> &'static str {
        match self {
            Self::OptOut => "opt-out",
            Self::HardBounce => "hard bounce",
            Self::SoftBounce => "soft bounces",
        }
    }
}

/// The settings that decide what an event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRules {
    /// How many soft bounces make an address undeliverable.
    pub soft_limit: u32,
    /// Only those of this time count; none counts all.
    pub soft_window: Option<Duration>,
    /// Which axes also set Do Not Email; none by default.
    pub auto_do_not_email: Vec<Coupling>,
}

impl Default for EventRules {
    fn default() -> Self {
        Self {
            soft_limit: 5,
            soft_window: None,
            auto_do_not_email: Vec::new(),
        }
    }
}

/// A record after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The record as it is now.
    pub record: Record,
    /// Whether the event had an effect, and why not.
    pub effect: Effect,
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The record changed.
    Changed,
    /// It was so already.
    AlreadySo,
    /// Something newer stands in the record; the event is remembered and decides nothing.
    Outdated,
    /// An operator decided that it is not to count; it is remembered and decides nothing.
    Dropped,
}

impl Change {
    /// The name in statistics, the same as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OptOut { .. } => "opt_out",
            Self::OptIn { .. } => "opt_in",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::Complaint { .. } => "complaint",
            Self::Bounce { .. } => "bounce",
            Self::ResetBounces { .. } => "reset_bounces",
            Self::Undo { .. } => "undo",
        }
    }
}

impl Effect {
    /// The name in statistics, the same as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::AlreadySo => "already_so",
            Self::Outdated => "outdated",
            Self::Dropped => "dropped",
        }
    }
}

impl Event {
    /// The record as it is after this event.
    #[must_use]
    pub fn apply(&self, record: &Record, rules: &EventRules) -> Applied {
        let mut next = record.clone();
        let effect = match &self.change {
            Change::OptOut { scope, grounds } => self.opt_out(&mut next, scope, grounds, rules),
            Change::OptIn { scope, grounds } => self.opt_in(&mut next, scope, grounds),
            Change::Block { why, until } => self.block(&mut next, why, *until),
            Change::Unblock { .. } => unblock(&mut next),
            Change::Complaint { stream, .. } => self.complain(&mut next, stream.as_deref()),
            Change::Bounce { kind, .. } => self.bounce(&mut next, *kind, rules),
            Change::ResetBounces { hard, soft, reason } => {
                self.reset(&mut next, *hard, *soft, reason.as_deref())
            }
            Change::Undo { of, undone, .. } => undone.take_back(&mut next, *of, self.at, rules),
        };
        if next.address.is_none() && next.erased.is_none() {
            next.address.clone_from(&self.address);
        }
        Applied {
            record: next,
            effect,
        }
    }

    fn is_listed(&self) -> bool {
        self.via == IMPORT
    }

    fn block(&self, record: &mut Record, why: &str, until: Option<Timestamp>) -> Effect {
        let block = DoNotEmail {
            at: self.at,
            by: self.actor.clone(),
            why: clip(why),
            until,
            auto: false,
        };
        match &record.do_not_email {
            // A block that a rule set becomes an operator's own: clearing in bulk must not lift it.
            Some(old) if !old.auto && old.until == until => Effect::AlreadySo,
            _ => {
                record.do_not_email = Some(block);
                Effect::Changed
            }
        }
    }

    fn complain(&self, record: &mut Record, stream: Option<&str>) -> Effect {
        if self.is_late(record, None) {
            return Effect::Outdated;
        }
        match &mut record.complaint {
            None => {
                record.complaint = Some(Complaint {
                    at: self.at,
                    stream: stream.map(str::to_owned),
                    last: None,
                    also: Vec::new(),
                    source: self.actor.clone(),
                });
                Effect::Changed
            }
            Some(old) if self.is_listed() && old.is_told(stream, &self.actor) => Effect::AlreadySo,
            Some(old) => {
                if old.add(stream, self.at, &self.actor) {
                    Effect::Changed
                } else {
                    Effect::AlreadySo
                }
            }
        }
    }

    /// Whether the message was sent before somebody set the record right again (B9).
    fn is_late(&self, record: &Record, reset: Option<&Reset>) -> bool {
        let sent = self.message_at.unwrap_or(self.at);
        let opted_in = record.opt_ins.values().map(|consent| consent.at).max();
        reset.is_some_and(|reset| sent < reset.at) || opted_in.is_some_and(|at| sent < at)
    }

    fn reset(&self, record: &mut Record, hard: bool, soft: bool, reason: Option<&str>) -> Effect {
        let reset = Reset {
            at: self.at,
            by: self.actor.clone(),
            reason: reason.map(clip),
        };
        let had = (hard && record.hard.is_some()) || (soft && record.soft.is_some());
        if hard {
            record.hard = None;
            record.hard_reset = Some(reset.clone());
        }
        if soft {
            record.soft = None;
            record.soft_reset = Some(reset);
        }
        if had {
            Effect::Changed
        } else {
            Effect::AlreadySo
        }
    }

    fn couple(&self, record: &mut Record, axis: Coupling, rules: &EventRules) {
        if record.do_not_email.is_some() || !rules.auto_do_not_email.contains(&axis) {
            return;
        }
        let why = axis.why();
        record.do_not_email = Some(DoNotEmail {
            at: self.at,
            by: "auto_do_not_email".to_owned(),
            why: why.to_owned(),
            until: None,
            auto: true,
        });
    }
}

fn unblock(record: &mut Record) -> Effect {
    match record.do_not_email.take() {
        Some(_) => Effect::Changed,
        None => Effect::AlreadySo,
    }
}

/// At most [`TEXT_LIMIT`] octets of `text`, cut between characters, control characters as spaces.
pub(crate) fn clip(text: &str) -> String {
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
