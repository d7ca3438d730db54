//! An [`Event`] is what changes a record: somebody opted out, a message came back, an operator decided.
//!
//! [`Event::apply`] is the only place that changes a record. Stores only read, compare and remember.

mod clipped;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::{Bounces, Complaint, Consent, DoNotEmail, Record, Reset};
use super::scope::Scope;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

/// Longest diagnostic, reason or remark that is kept, in octets.
pub const TEXT_LIMIT: usize = 500;

/// What tells one event from another: the same event twice counts once (B4, S7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// The id of the event these parts describe: equal parts, equal id.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(super::key::RecipientKey::from_bytes(bytes).to_string())
    }

    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

/// The settings that decide what an event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRules {
    /// How many soft bounces make an address undeliverable.
    pub soft_limit: u32,
    /// Which axes also set Do Not Email; none by default.
    pub auto_do_not_email: Vec<Coupling>,
}

impl Default for EventRules {
    fn default() -> Self {
        Self {
            soft_limit: 5,
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
        };
        if next.address.is_none() && next.erased.is_none() {
            next.address.clone_from(&self.address);
        }
        Applied {
            record: next,
            effect,
        }
    }

    /// Idempotent; the first time is kept. An opt-in that is newer keeps its word, a tie suppresses.
    fn opt_out(
        &self,
        record: &mut Record,
        scope: &Scope,
        grounds: &Grounds,
        rules: &EventRules,
    ) -> Effect {
        if record
            .opt_ins
            .get(scope)
            .is_some_and(|opt_in| opt_in.at > self.at)
        {
            return Effect::Outdated;
        }
        if let Some(old) = record.opt_outs.get_mut(scope) {
            if self.at > old.newest() {
                old.last = Some(self.at);
            }
            return Effect::AlreadySo;
        }
        record.opt_outs.insert(scope.clone(), self.consent(grounds));
        if *scope == Scope::All {
            self.couple(record, Coupling::OptOut, rules);
        }
        Effect::Changed
    }

    /// Only newer than the opt-out of the same scope. It clears neither Do Not Email nor bounces.
    fn opt_in(&self, record: &mut Record, scope: &Scope, grounds: &Grounds) -> Effect {
        if record
            .opt_outs
            .get(scope)
            .is_some_and(|opt_out| opt_out.newest() >= self.at)
        {
            return Effect::Outdated;
        }
        if record
            .opt_ins
            .get(scope)
            .is_some_and(|opt_in| opt_in.at >= self.at)
        {
            return Effect::AlreadySo;
        }
        record.opt_outs.remove(scope);
        record.opt_ins.insert(scope.clone(), self.consent(grounds));
        Effect::Changed
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
        match (&mut record.complaint, stream) {
            (None, _) => {
                record.complaint = Some(Complaint {
                    at: self.at,
                    stream: stream.map(str::to_owned),
                    also: Vec::new(),
                    source: self.actor.clone(),
                });
                Effect::Changed
            }
            (Some(old), Some(stream)) if !old.is_about(stream) => {
                old.also.push(stream.to_owned());
                Effect::Changed
            }
            (Some(old), None) if old.stream.is_some() => {
                old.stream = None;
                Effect::Changed
            }
            _ => Effect::AlreadySo,
        }
    }

    fn bounce(&self, record: &mut Record, kind: BounceKind, rules: &EventRules) -> Effect {
        let reset = match kind {
            BounceKind::Hard => &record.hard_reset,
            BounceKind::Soft => &record.soft_reset,
        };
        if self.is_late(record, reset.as_ref()) {
            return Effect::Outdated;
        }
        match kind {
            BounceKind::Hard => {
                self.count(&mut record.hard);
                self.couple(record, Coupling::HardBounce, rules);
            }
            BounceKind::Soft => {
                self.count(&mut record.soft);
                if record
                    .soft
                    .as_ref()
                    .is_some_and(|soft| soft.count >= rules.soft_limit)
                {
                    self.couple(record, Coupling::SoftBounce, rules);
                }
            }
        }
        Effect::Changed
    }

    fn count(&self, bounces: &mut Option<Bounces>) {
        let Change::Bounce {
            status,
            diagnostic,
            campaign,
            ..
        } = &self.change
        else {
            return;
        };
        let (count, first, last) = match bounces {
            Some(old) => (
                old.count.saturating_add(1),
                old.first.min(self.at),
                old.last.max(self.at),
            ),
            None => (1, self.at, self.at),
        };
        *bounces = Some(Bounces {
            count,
            first,
            last,
            status: *status,
            diagnostic: diagnostic.as_deref().map(clip),
            campaign: campaign.clone(),
        });
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
        let why = match axis {
            Coupling::OptOut => "opt-out",
            Coupling::HardBounce => "hard bounce",
            Coupling::SoftBounce => "soft bounces",
        };
        record.do_not_email = Some(DoNotEmail {
            at: self.at,
            by: "auto_do_not_email".to_owned(),
            why: why.to_owned(),
            until: None,
            auto: true,
        });
    }

    fn consent(&self, grounds: &Grounds) -> Consent {
        Consent {
            at: self.at,
            last: None,
            via: self.via.clone(),
            actor: self.actor.clone(),
            campaign: grounds.campaign.as_deref().map(clip),
            reason: grounds.reason.as_deref().map(clip),
            comment: grounds.comment.as_deref().map(clip),
            evidence: grounds.evidence.as_deref().map(clip),
        }
    }
}

fn unblock(record: &mut Record) -> Effect {
    match record.do_not_email.take() {
        Some(_) => Effect::Changed,
        None => Effect::AlreadySo,
    }
}

/// At most [`TEXT_LIMIT`] octets of `text`, cut between characters, control characters as spaces.
fn clip(text: &str) -> String {
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
