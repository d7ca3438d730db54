//! An *import* carries over a suppression list that was kept elsewhere: rows in, events out.
//!
//! A [`Row`] is what one line of such a list says of one recipient, in our words. [`Reader`] reads
//! rows from CSV or NDJSON of many makes. What a row says is never guessed: a line that is not
//! understood is an error of its own, and the others go on.

mod columns;
mod csv;
mod fields;
mod json;
mod moment;
mod reader;
mod words;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::mail::{Address, AddressError, EnhancedStatus};
use crate::suppression::event::{BounceKind, Grounds, IMPORT};
use crate::suppression::{Change, Event, EventId, RecipientKey, Scope, Tenant};
use crate::timestamp::Timestamp;

pub use self::reader::{Item, ReadError, Reader, Settings};
pub use self::words::Reason;

/// What one line of a list says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row<'a> {
    /// The number of the line, from 1; it stays with whoever read it.
    #[serde(skip)]
    pub line: u64,
    /// The address, as it is written there.
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// Why the recipient must not get mail.
    pub reason: Reason,
    /// What an opt-out covers, or which stream a complaint is about; none for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Since when; none where the list does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The enhanced status of a bounce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EnhancedStatus>,
    /// What was said about it: the words of the host that refused, or a remark.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub text: Option<Cow<'a, str>>,
    /// The campaign of the message that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub campaign: Option<Cow<'a, str>>,
}

/// Why a row cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// There is no address in it.
    #[error("there is no address")]
    NoAddress,
    /// The address has no canonical form.
    #[error("the address has no canonical form: {0}")]
    Address(#[from] AddressError),
    /// It does not say why.
    #[error("it does not say why; --reason says it for all such rows")]
    NoReason,
    /// It says why in words that are not known.
    #[error("the reason {0:?} is not known")]
    UnknownReason(String),
    /// It was suppressed by hand, and the row does not say by whom.
    #[error("the reason {0:?} needs an origin: Recipient, Customer or Admin")]
    NoOrigin(String),
    /// What it covers cannot be read.
    #[error("{0:?} is no scope: give '*', list:NAME, topic:NAME or stream:NAME")]
    Scope(String),
    /// The time cannot be read.
    #[error("{0:?} is no time: give 2026-11-22, 2026-11-22T06:20:00Z or seconds since 1970")]
    Time(String),
    /// The time is still to come.
    #[error("{0} is in the future")]
    Future(Timestamp),
    /// A value is neither a text nor a number.
    #[error("the value of {0:?} is neither a text nor a number")]
    Value(String),
    /// The line is no JSON object.
    #[error("the line is no JSON object: {0}")]
    Json(String),
    /// It has more fields than the header has names: a quotation mark may be wrong.
    #[error("it has more fields than the header: look for a quotation mark that does not end")]
    TooManyFields,
}

/// Who imports, and what is noted with each row.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// Whose list it becomes.
    pub tenant: Tenant,
    /// The operator.
    pub actor: String,
    /// The list, where it came from.
    pub source: Option<String>,
    /// A remark.
    pub note: Option<String>,
}

impl Row<'_> {
    /// The address in canonical form.
    ///
    /// # Errors
    /// When it has none.
    pub fn canonical(&self) -> Result<Address, RowError> {
        Ok(Address::parse(&self.address)?)
    }

    /// What the row means: an event of its own time, or of now where it has none.
    ///
    /// The same row is always the same event, whoever imports it, when and from where.
    ///
    /// # Errors
    /// When its time is still to come.
    pub fn event(
        self,
        key: &RecipientKey,
        from: &Provenance,
        now: Timestamp,
    ) -> Result<Event, RowError> {
        if let Some(at) = self.at.filter(|at| *at > now) {
            return Err(RowError::Future(at));
        }
        Ok(Event {
            id: self.id(key, &from.tenant),
            at: self.at.unwrap_or(now),
            actor: from.actor.clone(),
            via: IMPORT.to_owned(),
            message_at: None,
            address: Some(self.address.clone().into_owned()),
            change: self.change(from),
        })
    }

    fn id(&self, key: &RecipientKey, tenant: &Tenant) -> EventId {
        let scope = self.scope.as_ref().map(ToString::to_string);
        let at = self.at.map(|at| at.millis().to_be_bytes());
        let status = self.status.map(|status| status.to_string());
        EventId::of(&[
            IMPORT.as_bytes(),
            tenant.as_str().as_bytes(),
            key.as_bytes(),
            self.reason.name().as_bytes(),
            scope.as_deref().unwrap_or_default().as_bytes(),
            at.as_ref().map_or(&[], <[u8; 8]>::as_slice),
            status.as_deref().unwrap_or_default().as_bytes(),
            self.text.as_deref().unwrap_or_default().as_bytes(),
            self.campaign.as_deref().unwrap_or_default().as_bytes(),
        ])
    }

    fn change(self, from: &Provenance) -> Change {
        let text = self.text.map(Cow::into_owned);
        let campaign = self.campaign.map(Cow::into_owned);
        match self.reason {
            Reason::OptOut => Change::OptOut {
                scope: self.scope.unwrap_or(Scope::All),
                grounds: Grounds {
                    campaign,
                    reason: text,
                    comment: from.note.clone(),
                    evidence: from.source.clone(),
                },
            },
            Reason::DoNotEmail => Change::Block {
                why: text
                    .or_else(|| from.note.clone())
                    .or_else(|| from.source.as_ref().map(|source| format!("from {source}")))
                    .unwrap_or_else(|| "imported".to_owned()),
                until: None,
            },
            Reason::HardBounce => Change::Bounce {
                kind: BounceKind::Hard,
                reason: None,
                status: self.status,
                diagnostic: text,
                campaign,
            },
            Reason::Complaint => Change::Complaint {
                stream: match self.scope {
                    Some(Scope::Stream(stream)) => Some(stream),
                    _ => None,
                },
                campaign,
            },
        }
    }
}

#[cfg(test)]
mod tests;
