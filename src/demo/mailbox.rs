//! A [`Mailbox`] is what becomes of mail at the far end, as the demo's smarthost finds out.

use std::collections::HashMap;

use crate::mail::{Address, EnhancedStatus};

/// What becomes of mail for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mailbox {
    /// It takes the mail.
    Fine,
    /// There is no such user; a report tells.
    Unknown,
    /// It was switched off; a report tells.
    Disabled,
    /// There is no such domain; a report tells.
    NoDomain,
    /// It has no room; a report tells.
    Full,
    /// There is no such user, and the smarthost knows that at RCPT already.
    KnownUnknown,
}

/// Why mail could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The enhanced status (RFC 3463).
    pub(crate) status: EnhancedStatus,
    /// What the host at the far end answered, or the smarthost says in its place.
    pub(crate) diagnostic: &'static str,
}

impl Mailbox {
    /// Why mail for it comes back; none if it does not.
    pub(super) const fn failure(self) -> Option<Failure> {
        let (detail, diagnostic) = match self {
            Self::Fine => return None,
            Self::Unknown | Self::KnownUnknown => ((1, 1), "550 5.1.1 No such user"),
            Self::NoDomain => ((1, 2), "550 5.1.2 Host not found: no such domain"),
            Self::Disabled => ((2, 1), "550 5.2.1 This mailbox is disabled"),
            Self::Full => ((2, 2), "552 5.2.2 The mailbox is full"),
        };
        Some(Failure {
            status: EnhancedStatus::of(5, detail.0, detail.1),
            diagnostic,
        })
    }
}

/// The mailboxes that do not simply take their mail.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(HashMap<Address, Mailbox>);

impl Mailboxes {
    /// What becomes of mail for this address. Of most addresses the demo knows nothing: they are fine.
    pub(super) fn of(&self, address: &Address) -> Mailbox {
        self.0.get(address).copied().unwrap_or(Mailbox::Fine)
    }
}

impl FromIterator<(Address, Mailbox)> for Mailboxes {
    fn from_iter<I: IntoIterator<Item = (Address, Mailbox)>>(mailboxes: I) -> Self {
        Self(mailboxes.into_iter().collect())
    }
}
