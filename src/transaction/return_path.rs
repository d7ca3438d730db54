//! Whom a signed return path stands for, and whether the one that went upstream is still right.
//!
//! MAIL goes upstream with the first recipients, before it is known who else will be accepted and
//! which campaign the header names. Just before the upstream's DATA both are known, and a path that
//! says something else is replaced (R14: still the same transaction).

use bytes::Bytes;

use super::{Recipient, Transaction};
use crate::suppression::RecipientKey;
use crate::token::{Token, TokenKind};

/// Whom a return path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The only recipient.
    Recipient(RecipientKey),
    /// Several, who are recorded under the id of the transaction (B10).
    Set(Vec<RecipientKey>),
}

/// A signed return path that goes upstream in place of the sender's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPath {
    /// What it says.
    pub token: Token,
    /// The path with its angle brackets.
    pub wire: Bytes,
}

impl Subject {
    /// None if nobody has a key: a bare postmaster is nobody whose mail could be stopped.
    fn of<'a>(recipients: impl Iterator<Item = &'a Recipient>) -> Option<Self> {
        let mut others = false;
        let mut keys: Vec<_> = recipients
            .filter_map(|recipient| {
                others |= recipient.key.is_none();
                recipient.key
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        match keys.as_slice() {
            [] => None,
            [only] if !others => Some(Self::Recipient(*only)),
            _ => Some(Self::Set(keys)),
        }
    }
}

impl SignedPath {
    /// Whether it stands for them, with this label. A path of a set can stand for a single one, too.
    fn stands_for(&self, subject: &Subject, tag: u32) -> bool {
        let is_right = match (self.token.kind, subject) {
            (TokenKind::Recipient, Subject::Recipient(key)) => {
                self.token.subject == *key.as_bytes()
            }
            (TokenKind::Recipient, Subject::Set(_)) => false,
            (TokenKind::Transaction, _) => true,
            (TokenKind::Unsubscribe, _) => false,
        };
        is_right && self.token.label == tag
    }
}

impl Transaction {
    /// Whether its return path is to be signed; the null reverse-path never is (E4).
    #[must_use]
    pub fn wants_signature(&self) -> bool {
        self.policy.sign && self.reverse_path.address().is_some()
    }

    /// Whether its header names a campaign, or another stream than mail that does not say which.
    #[must_use]
    pub fn is_labelled(&self) -> bool {
        self.campaign.is_some() || self.stream.name != self.policy.stream.name
    }

    /// The path that goes upstream in MAIL, with its angle brackets.
    #[must_use]
    pub fn upstream_path(&self) -> &[u8] {
        match &self.signed {
            Some(signed) => &signed.wire,
            None => self.reverse_path.wire(),
        }
    }

    /// Whom a path stands for that goes upstream with the recipients with these indices.
    #[must_use]
    pub fn subject_of(&self, indices: &[usize]) -> Option<Subject> {
        Subject::of(indices.iter().map(|&index| &self.recipients[index]))
    }

    /// Whom the path must stand for now that it is known who was accepted.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        Subject::of(self.accepted())
    }

    /// Whether the path that went upstream is the one for this subject and label.
    #[must_use]
    pub fn is_signed_for(&self, subject: Option<&Subject>, tag: u32) -> bool {
        match (&self.signed, subject) {
            (Some(signed), Some(subject)) => signed.stands_for(subject, tag),
            (None, None) => true,
            _ => false,
        }
    }

    /// The set that must be recorded before the final dot, if the path stands for one (B10).
    #[must_use]
    pub fn set_to_record(&self) -> Option<([u8; 16], Vec<RecipientKey>)> {
        let token = &self.signed.as_ref()?.token;
        let keys = match self.subject()? {
            Subject::Recipient(key) => vec![key],
            Subject::Set(keys) => keys,
        };
        (token.kind == TokenKind::Transaction).then_some((token.subject, keys))
    }

    /// The key of the only recipient that was accepted.
    #[must_use]
    pub fn only_recipient(&self) -> Option<RecipientKey> {
        let mut accepted = self.accepted();
        match (accepted.next(), accepted.next()) {
            (Some(only), None) => only.key,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
