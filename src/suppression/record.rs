//! A [`Record`] is what we know of one recipient: independent axes, each with its own provenance.
//!
//! No axis overwrites another, and mailability is computed from them (see [`super::policy`]),
//! never stored.

mod complaint;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::complaint::{Complaint, Further};
use super::scope::Scope;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

/// What we know of one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The readable address as first seen; absent once erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Opt-outs by scope. The first time is kept until an opt-in ends it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opt_outs: BTreeMap<Scope, Consent>,
    /// Opt-ins by scope: proof of consent, the newest kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opt_ins: BTreeMap<Scope, Consent>,
    /// Set by an operator, or by a rule where the configuration couples axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_email: Option<DoNotEmail>,
    /// The recipient said "this is spam".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<Complaint>,
    /// The mailbox is permanently not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Bounces>,
    /// The mailbox was in passing trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<Bounces>,
    /// When hard bounces were last reset: older reports no longer count (B9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_reset: Option<Reset>,
    /// When soft bounces were last reset: older reports no longer count (B9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_reset: Option<Reset>,
    /// The readable data was erased at the person's wish; what blocks stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
}

/// One act of consent, given or withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// When first.
    pub at: Timestamp,
    /// When last, if it was said again: an opt-in must be newer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// How it came: `cli`, `api`, `one-click`, `mailto`, `import`, `report` and so on.
    pub via: String,
    /// Who: an operator, or `recipient`.
    pub actor: String,
    /// The campaign whose message led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What proves it: the wording of a form, an address and a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Consent {
    /// The newest time this was said.
    #[must_use]
    pub fn newest(&self) -> Timestamp {
        self.last.map_or(self.at, |last| last.max(self.at))
    }
}

/// The marketer's own decision not to write to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoNotEmail {
    /// When.
    pub at: Timestamp,
    /// Who set it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Set by a rule (`auto_do_not_email`), not by a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
}

/// Bounces of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounces {
    /// How many messages came back, one message counted once.
    pub count: u32,
    /// When the first was received.
    pub first: Timestamp,
    /// When the last was received.
    pub last: Timestamp,
    /// The enhanced status of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EnhancedStatus>,
    /// The words of the host that refused the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// The campaign of the last, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// When the newest were received, the oldest first; kept only where a window says which count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Timestamp>,
    /// When it bounced by what an imported list says; that counts as one, however often it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Timestamp>,
}

impl Bounces {
    /// How many count at this moment: all, or those of the window.
    #[must_use]
    pub fn counted(&self, window: Option<Duration>, now: Timestamp) -> u32 {
        counted(self.count, &self.recent, window, now)
    }
}

/// How many bounces count at this moment: all, or of the recent ones those of the window.
pub(super) fn counted(
    all: u32,
    recent: &[Timestamp],
    window: Option<Duration>,
    now: Timestamp,
) -> u32 {
    let Some(window) = window else {
        return all;
    };
    let counts = |at: &&Timestamp| at.plus(window) > now;
    u32::try_from(recent.iter().filter(counts).count()).unwrap_or(u32::MAX)
}

/// A reset of bounces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}
