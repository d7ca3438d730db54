//! A [`Standing`] is how a recipient stands with us: what a verdict needs of a [`Record`], and no more.
//!
//! No name, reason or evidence is in it, so it is small, and many recipients have the same but for its
//! times.

use std::time::Duration;

use super::record::{Complaint, Record};
use super::scope::Scope;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

/// What [`judge`](super::judge) asks of a record, axis by axis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// When the readable data was erased.
    pub erased: Option<Timestamp>,
    /// The mailbox is permanently not there.
    pub hard: Option<HardBounces>,
    /// The recipient said "this is spam".
    pub complaint: Option<Complained>,
    /// The marketer's own decision.
    pub do_not_email: Option<Blocked>,
    /// Opt-outs, each scope once and with its first time, in the order of scopes.
    pub opt_outs: Vec<(Scope, Timestamp)>,
    /// Opt-ins, each scope once, in the order of scopes.
    pub opt_ins: Vec<Scope>,
    /// The mailbox was in passing trouble.
    pub soft: Option<SoftBounces>,
}

/// Hard bounces, one at least.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HardBounces {
    /// When the last was received.
    pub last: Timestamp,
    /// The enhanced status of the last.
    pub status: Option<EnhancedStatus>,
}

/// Complaints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Complained {
    /// When the first was received.
    pub at: Timestamp,
    /// The streams complained about; none is an unknown one.
    pub streams: Vec<Option<String>>,
}

/// Do Not Email.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Blocked {
    /// Since when.
    pub at: Timestamp,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

/// Soft bounces; see [`Bounces`](super::record::Bounces).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SoftBounces {
    /// How many messages came back.
    pub count: u32,
    /// When the last was received.
    pub last: Timestamp,
    /// When the newest were received, where a window says which count.
    pub recent: Vec<Timestamp>,
}

impl Standing {
    /// Whether a message's own headers could decide: there is an opt-out of a list or a topic.
    #[must_use]
    pub fn has_header_scopes(&self) -> bool {
        self.opt_outs
            .iter()
            .any(|(scope, _)| matches!(scope, Scope::List(_) | Scope::Topic(_)))
    }

    /// Every time in it, in an order that depends on nothing but what else is in it.
    pub fn times_mut(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let block = self.do_not_email.as_mut();
        let block = block.map(|block| std::iter::once(&mut block.at).chain(&mut block.until));
        let soft = self.soft.as_mut();
        let soft = soft.map(|soft| std::iter::once(&mut soft.last).chain(&mut soft.recent));
        self.erased
            .iter_mut()
            .chain(self.hard.as_mut().map(|hard| &mut hard.last))
            .chain(self.complaint.as_mut().map(|complaint| &mut complaint.at))
            .chain(block.into_iter().flatten())
            .chain(self.opt_outs.iter_mut().map(|(_, at)| at))
            .chain(soft.into_iter().flatten())
    }
}

impl From<&Record> for Standing {
    fn from(record: &Record) -> Self {
        let outs = record.opt_outs.iter();
        Self {
            erased: record.erased.as_ref().map(|erased| erased.at),
            hard: record
                .hard
                .as_ref()
                .filter(|hard| hard.count > 0)
                .map(|hard| HardBounces {
                    last: hard.last,
                    status: hard.status,
                }),
            complaint: record.complaint.as_ref().map(Complained::from),
            do_not_email: record.do_not_email.as_ref().map(|block| Blocked {
                at: block.at,
                until: block.until,
            }),
            opt_outs: outs
                .map(|(scope, consent)| (scope.clone(), consent.at))
                .collect(),
            opt_ins: record.opt_ins.keys().cloned().collect(),
            soft: record.soft.as_ref().map(|soft| SoftBounces {
                count: soft.count,
                last: soft.last,
                recent: soft.recent.clone(),
            }),
        }
    }
}

impl From<&Complaint> for Complained {
    fn from(complaint: &Complaint) -> Self {
        Self {
            at: complaint.at,
            streams: complaint
                .streams()
                .map(|stream| stream.map(str::to_owned))
                .collect(),
        }
    }
}

impl Complained {
    /// Whether one was about mail of this stream; one about an unknown stream counts for each.
    #[must_use]
    pub fn is_about(&self, stream: &str) -> bool {
        self.streams
            .iter()
            .any(|about| about.as_ref().is_none_or(|about| about == stream))
    }
}

impl SoftBounces {
    /// How many count at this moment: all, or those of the window.
    #[must_use]
    pub fn counted(&self, window: Option<Duration>, now: Timestamp) -> u32 {
        super::record::counted(self.count, &self.recent, window, now)
    }
}

#[cfg(test)]
mod tests;
