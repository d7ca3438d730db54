//! The answers of the API, as the gateway writes them and the command line reads them.
//!
//! Their names are a contract: scripts read them.

use serde::{Deserialize, Serialize};

use crate::mail::EnhancedStatus;
use crate::store::HistoryEntry;
use crate::store::lessons::{CauseId, Hold};
use crate::suppression::event::Effect;
use crate::suppression::policy::{Judgement, MessageScopes};
use crate::suppression::{
    EventId, Finding, Reason, RecipientKey, Record, Scope, Stream, StreamClass, Tenant, Verdict,
    judge,
};
use crate::timestamp::Timestamp;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What happened.
    pub error: String,
    /// What to do.
    pub hint: String,
}

/// An import that takes rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its id, a part of the path for its rows.
    pub import: String,
    /// Whose list it becomes.
    pub tenant: Tenant,
}

/// What became of some rows of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Rows that changed a record.
    pub recorded: u64,
    /// Rows that said what was on file.
    pub known: u64,
    /// Rows older than what stands in the record: a reset, or an opt-in.
    pub outdated: u64,
    /// Rows that cannot be taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<RowFailure>,
    /// The places of rows that shall be sent again, from 0 in the request; then the store is
    /// unavailable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<u64>,
    /// Why the store did not take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// A row that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFailure {
    /// Its place in the request, from 0.
    pub place: u64,
    /// Why.
    pub error: String,
}

/// What became of all rows of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Rows that changed a record.
    pub recorded: u64,
    /// Rows that said what was on file.
    pub known: u64,
    /// Rows older than what stands in the record: a reset, or an opt-in.
    pub outdated: u64,
    /// Rows that could not be taken.
    pub failed: u64,
    /// Rows that are not carried over.
    pub skipped: u64,
}

/// What is known of a recipient, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Whose list.
    pub tenant: Tenant,
    /// The canonical address that was asked for.
    pub address: String,
    /// The key it is known under.
    pub key: RecipientKey,
    /// How often the record was written; 0 where there is none.
    pub version: u64,
    /// Whether mail would go through now, for each stream.
    pub mailability: Vec<Mailability>,
    /// The facts.
    pub record: Record,
}

/// Whether mail of one stream would go through now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailability {
    /// The stream.
    pub stream: String,
    /// What kind of mail it carries.
    pub class: StreamClass,
    /// What would happen.
    #[serde(flatten)]
    pub ruling: Ruling,
    /// The lists and topics for which something else would happen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// What would happen for mail that names a certain list or topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The list or topic.
    pub scope: Scope,
    /// What would happen.
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// What would happen to a message, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// What would happen.
    pub verdict: Verdict,
    /// Why it would not be relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Since when the reason holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The enhanced status on file for a bounce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EnhancedStatus>,
    /// Every axis that is active, blocking or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Reason>,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The change's id in the history.
    pub event: EventId,
    /// What it did to the record.
    pub effect: Outcome,
    /// The recipient afterwards.
    pub recipient: Recipient,
}

/// What a change did to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The record changed.
    Changed,
    /// It was so already.
    AlreadySo,
    /// Something newer stands in the record; the change is remembered and decides nothing.
    Outdated,
    /// A request with the same Idempotency-Key was served before.
    Duplicate,
}

impl From<Option<Effect>> for Outcome {
    fn from(effect: Option<Effect>) -> Self {
        match effect {
            Some(Effect::Changed) => Self::Changed,
            Some(Effect::AlreadySo) => Self::AlreadySo,
            // What an operator asks for is never dropped.
            Some(Effect::Outdated | Effect::Dropped) => Self::Outdated,
            None => Self::Duplicate,
        }
    }
}

/// A recipient's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Whose list.
    pub tenant: Tenant,
    /// The canonical address that was asked for.
    pub address: String,
    /// The key it is known under.
    pub key: RecipientKey,
    /// What happened.
    pub history: Vec<HistoryEntry>,
}

/// The causes whose hard bounces wait for an operator, the oldest of each tenant first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCauses {
    /// The causes.
    pub pending: Vec<PendingCause>,
}

/// A cause whose hard bounces wait for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCause {
    /// Whose list.
    pub tenant: Tenant,
    /// The cause.
    pub cause: CauseId,
    /// How many bounces wait.
    pub held: u64,
    /// Some of the addresses.
    pub examples: Vec<String>,
    /// What is known of it.
    #[serde(flatten)]
    pub hold: Hold,
}

/// How far a decision on pending bounces is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Whose list.
    pub tenant: Tenant,
    /// The cause.
    pub cause: CauseId,
    /// How many bounces this call decided.
    pub decided: u64,
    /// How many of those it looked at had been decided before.
    pub known: u64,
    /// How many are left: the same call goes on with them.
    pub left: u64,
}

/// What was undone, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Whose list.
    pub tenant: Tenant,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many lessons were meant.
    pub matched: u64,
    /// How many of them were taken back, or would be. Those in no figure never counted, were taken
    /// back before, or are what recipients said themselves.
    pub undone: u64,
    /// How many stand because the same was said again since then.
    pub said_again: u64,
    /// How many are left alone because the recipient's history does not reach back to them.
    pub forgotten: u64,
    /// Those by reason, provider and host.
    pub groups: Vec<UndoneGroup>,
    /// Some of their addresses.
    pub examples: Vec<String>,
    /// What the next call gives as `from`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lessons that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneGroup {
    /// The reason.
    pub reason: String,
    /// The provider of the recipients.
    pub provider: String,
    /// The host that reported.
    pub host: String,
    /// How many.
    pub count: u64,
}

impl Mailability {
    /// Judges a record for one stream, also for each list and topic that the record names.
    #[must_use]
    pub fn of(record: &Record, stream: &Stream, now: Timestamp) -> Self {
        let finding = Finding::known(record);
        let rule = |scopes: &MessageScopes| Ruling::from(judge(&finding, stream, scopes, now));
        let ruling = rule(&MessageScopes::default());
        let mut named: Vec<&Scope> = record
            .opt_outs
            .keys()
            .chain(record.opt_ins.keys())
            .collect();
        named.sort();
        named.dedup();
        let exceptions = named
            .into_iter()
            .filter_map(|scope| {
                let ruling = rule(&naming(scope)?);
                Some(Exception {
                    scope: scope.clone(),
                    ruling,
                })
            })
            .filter(|exception| exception.ruling.verdict != ruling.verdict)
            .collect();
        Self {
            stream: stream.name.clone(),
            class: stream.class,
            ruling,
            exceptions,
        }
    }
}

/// The scopes of a message that names this list or topic; none for other scopes.
fn naming(scope: &Scope) -> Option<MessageScopes> {
    let mut scopes = MessageScopes::default();
    match scope {
        Scope::List(_) => scopes.list = Some(scope.clone()),
        Scope::Topic(_) => scopes.topic = Some(scope.clone()),
        Scope::All | Scope::Stream(_) => return None,
    }
    Some(scopes)
}

impl From<Judgement> for Ruling {
    fn from(judgement: Judgement) -> Self {
        Self {
            verdict: judgement.verdict,
            reason: judgement.reason,
            since: judgement.since,
            status: judgement.status,
            active: judgement.active,
        }
    }
}
