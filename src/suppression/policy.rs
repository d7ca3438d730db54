//! A [`Verdict`] is what happens to one recipient: relayed, rejected, deferred or discarded.
//!
//! [`judge`] makes it from what the store said ([`Finding`]), the [`Stream`] the message belongs to
//! and, once the header is known, the list and topic it names. Mailability is computed here and
//! never stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::scope::Scope;
use super::standing::Standing;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

/// What a look-up told about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The store answered: nothing is known.
    Clear,
    /// The store answered: this is how they stand.
    Known(Box<Standing>),
    /// The store did not answer, or with something that cannot be read (S1, S4).
    Unavailable,
}

impl Finding {
    /// What a look-up tells that found this record.
    #[must_use]
    pub fn known(record: &Record) -> Self {
        Self::Known(Box::new(record.into()))
    }
}

/// What happens to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Offered to the upstream.
    Relay,
    /// Refused with a permanent reply.
    Reject,
    /// Refused with a transient reply: the store did not answer.
    Defer,
    /// Accepted and left out upstream, where a listener or a credential is told to.
    Discard,
}

/// Why a recipient is not mailed, in the order in which one of several is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person wished to be forgotten; the opt-out outlives the data.
    Erased,
    /// The mailbox is permanently not there.
    HardBounce,
    /// The recipient complained.
    Complaint,
    /// The operator decided so.
    DoNotEmail,
    /// The recipient opted out.
    OptOut,
    /// Soft bounces reached the limit.
    SoftBounce,
    /// The stream requires consent and there is none on record.
    NoConsent,
    /// The store did not answer.
    Unavailable,
}

/// An axis that a stream can honour, as `honours = [...]` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Erasure.
    Erased,
    /// Hard bounces.
    HardBounce,
    /// Any complaint.
    Complaint,
    /// A complaint about this very stream.
    OwnComplaint,
    /// Do Not Email.
    DoNotEmail,
    /// Opt-outs, of everything and of the scopes that fit.
    OptOut,
    /// Soft bounces at the limit.
    SoftBounce,
}

/// What kind of mail a stream carries; decides what it honours by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamClass {
    /// Newsletters, offers, invitations; also whatever nobody declared.
    #[default]
    Campaign,
    /// Receipts, password resets, notices the recipient asked for by acting.
    Transactional,
    /// One person writes to another.
    Personal,
}

impl StreamClass {
    /// What a stream of this class honours unless it says otherwise.
    #[must_use]
    pub const fn honours(self) -> &'static [Axis] {
        match self {
            Self::Campaign => &[
                Axis::Erased,
                Axis::HardBounce,
                Axis::Complaint,
                Axis::DoNotEmail,
                Axis::OptOut,
                Axis::SoftBounce,
            ],
            Self::Transactional => &[Axis::HardBounce, Axis::OwnComplaint, Axis::SoftBounce],
            Self::Personal => &[],
        }
    }
}

/// A kind of mail with its rules. Each message belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The name, as the configuration and `X-Sendgate-Stream` give it.
    pub name: String,
    /// What kind of mail.
    pub class: StreamClass,
    /// Which axes block.
    pub honours: Vec<Axis>,
    /// How many soft bounces make an address undeliverable.
    pub soft_limit: u32,
    /// Only soft bounces of this time count; none counts all.
    pub soft_window: Option<Duration>,
    /// Whether a recipient without consent on record is blocked.
    pub consent_required: bool,
    /// Whether a recipient passes unchecked when the store does not answer (transactional only).
    pub pass_unavailable: bool,
}

impl Stream {
    /// A stream of this class with its defaults.
    #[must_use]
    pub fn new(name: &str, class: StreamClass) -> Self {
        Self {
            name: name.to_owned(),
            class,
            honours: class.honours().to_vec(),
            soft_limit: 5,
            soft_window: None,
            consent_required: false,
            pass_unavailable: false,
        }
    }

    /// Whether the list or topic that a header names can change a verdict on this stream.
    #[must_use]
    pub fn reads_scopes(&self) -> bool {
        self.consent_required || self.honours.contains(&Axis::OptOut)
    }
}

/// The scopes that a message's own header names; none before the header is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageScopes {
    /// From `List-Id`.
    pub list: Option<Scope>,
    /// From `X-Sendgate-Topic`.
    pub topic: Option<Scope>,
}

/// A verdict with its grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// Why, when it is not simply relayed; for a recipient that passes unchecked, that it does.
    pub reason: Option<Reason>,
    /// Every axis that is active, blocking or not, in order of report.
    pub active: Vec<Reason>,
    /// Since when the reported reason holds.
    pub since: Option<Timestamp>,
    /// The enhanced status on file for a bounce.
    pub status: Option<EnhancedStatus>,
}

impl Judgement {
    /// Nothing stands against this recipient.
    #[must_use]
    pub const fn clear() -> Self {
        Self {
            verdict: Verdict::Relay,
            reason: None,
            active: Vec::new(),
            since: None,
            status: None,
        }
    }
}

/// Judges one recipient by what the store said about it.
///
/// The listener turns a rejection into a discard where it is told to; that is not decided here.
#[must_use]
pub fn judge(
    finding: &Finding,
    stream: &Stream,
    scopes: &MessageScopes,
    now: Timestamp,
) -> Judgement {
    match finding {
        Finding::Clear if !stream.consent_required => Judgement::clear(),
        Finding::Clear => judge_standing(&Standing::default(), stream, scopes, now),
        Finding::Known(standing) => judge_standing(standing, stream, scopes, now),
        // Not an error: deferring delays everyone's mail, relaying may reach someone who asked us
        // to stop. Only the operator can choose between the two, and only for transactional mail (S1).
        Finding::Unavailable => Judgement {
            verdict: if stream.pass_unavailable && stream.class == StreamClass::Transactional {
                Verdict::Relay
            } else {
                Verdict::Defer
            },
            reason: Some(Reason::Unavailable),
            ..Judgement::clear()
        },
    }
}

fn judge_standing(
    standing: &Standing,
    stream: &Stream,
    scopes: &MessageScopes,
    now: Timestamp,
) -> Judgement {
    let active = active_axes(standing, stream, scopes, now);
    let Some(blocking) = active.iter().find(|axis| axis.blocks) else {
        return Judgement {
            active: active.into_iter().map(|axis| axis.reason).collect(),
            ..Judgement::clear()
        };
    };
    Judgement {
        verdict: Verdict::Reject,
        reason: Some(blocking.reason),
        since: blocking.since,
        status: blocking.status,
        active: active.iter().map(|axis| axis.reason).collect(),
    }
}

/// One axis that is active for a recipient.
struct ActiveAxis {
    reason: Reason,
    blocks: bool,
    since: Option<Timestamp>,
    status: Option<EnhancedStatus>,
}

/// Every axis that is active, in the order of [`Reason`].
fn active_axes(
    standing: &Standing,
    stream: &Stream,
    scopes: &MessageScopes,
    now: Timestamp,
) -> Vec<ActiveAxis> {
    let honours = |axis| stream.honours.contains(&axis);
    let mut active = Vec::new();
    let mut add = |reason, blocks, since, status| {
        active.push(ActiveAxis {
            reason,
            blocks,
            since,
            status,
        });
    };
    if let Some(erased) = standing.erased {
        add(Reason::Erased, honours(Axis::Erased), Some(erased), None);
    }
    if let Some(hard) = &standing.hard {
        add(
            Reason::HardBounce,
            honours(Axis::HardBounce),
            Some(hard.last),
            hard.status,
        );
    }
    if let Some(complaint) = &standing.complaint {
        let blocks = honours(Axis::Complaint)
            || (honours(Axis::OwnComplaint) && complaint.is_about(&stream.name));
        add(Reason::Complaint, blocks, Some(complaint.at), None);
    }
    if let Some(block) = &standing.do_not_email
        && block.until.is_none_or(|until| until > now)
    {
        add(
            Reason::DoNotEmail,
            honours(Axis::DoNotEmail),
            Some(block.at),
            None,
        );
    }
    if let Some(since) = opted_out(standing, stream, scopes) {
        add(Reason::OptOut, honours(Axis::OptOut), Some(since), None);
    }
    if let Some(soft) = standing
        .soft
        .as_ref()
        .filter(|soft| soft.counted(stream.soft_window, now) >= stream.soft_limit)
    {
        add(
            Reason::SoftBounce,
            honours(Axis::SoftBounce),
            Some(soft.last),
            None,
        );
    }
    if stream.consent_required && !opted_in(standing, stream, scopes) {
        add(Reason::NoConsent, true, None, None);
    }
    active
}

/// Since when the recipient is opted out of what this message is: the oldest opt-out that fits.
fn opted_out(standing: &Standing, stream: &Stream, scopes: &MessageScopes) -> Option<Timestamp> {
    standing
        .opt_outs
        .iter()
        .filter(|(scope, _)| covers(scope, stream, scopes))
        .map(|(_, at)| *at)
        .min()
}

fn opted_in(standing: &Standing, stream: &Stream, scopes: &MessageScopes) -> bool {
    standing.opt_ins.iter().any(|scope| {
        let is_out = || standing.opt_outs.iter().any(|(out, _)| out == scope);
        // An opt-in that was withdrawn again is history.
        covers(scope, stream, scopes) && !is_out()
    })
}

fn covers(scope: &Scope, stream: &Stream, scopes: &MessageScopes) -> bool {
    match scope {
        Scope::All => true,
        Scope::List(_) => scopes.list.as_ref() == Some(scope),
        Scope::Topic(_) => scopes.topic.as_ref() == Some(scope),
        Scope::Stream(name) => name.eq_ignore_ascii_case(&stream.name),
    }
}

#[cfg(test)]
mod tests;
