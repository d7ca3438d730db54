//! [`Named`] are the recipients of a report, as the records of one tenant know them.

use crate::bounce::{Identity, Report, ReportedRecipient};
use crate::mail::Address;
use crate::suppression::RecipientKey;

/// Everybody a report names. Made once for each tenant: there may be a thousand, and each key costs.
pub(in crate::gateway::returns) struct Named<'a> {
    /// For each recipient of the report, in its order.
    accounts: Vec<Vec<Recognized<'a>>>,
}

/// One address that a recipient of the report goes by.
pub(super) struct Recognized<'a> {
    pub(super) recipient: &'a ReportedRecipient,
    pub(super) address: Address,
    pub(super) key: RecipientKey,
    pub(super) identity: Identity,
}

impl<'a> Named<'a> {
    /// The recipients of this report; addresses of our own are nobody's mailbox.
    pub(in crate::gateway::returns) fn of(
        report: &'a Report,
        key: impl Fn(&Address) -> RecipientKey,
        is_own: impl Fn(&Address) -> bool,
    ) -> Self {
        let recognize = |recipient| recognize(recipient, &key, &is_own);
        Self {
            accounts: report.recipients.iter().map(recognize).collect(),
        }
    }

    /// Every address, in the order of the report.
    pub(super) fn all(&self) -> impl Iterator<Item = &Recognized<'a>> {
        self.accounts.iter().flatten()
    }

    /// For each recipient the address by which it is best known, if it has any that can be read.
    pub(super) fn best(&self) -> impl Iterator<Item = Option<&Recognized<'a>>> {
        self.accounts.iter().map(|known| known.first())
    }
}

/// The address that was written to is the one on our list; forwarding may have changed the other.
fn recognize<'a>(
    recipient: &'a ReportedRecipient,
    key: &impl Fn(&Address) -> RecipientKey,
    is_own: &impl Fn(&Address) -> bool,
) -> Vec<Recognized<'a>> {
    let original = recipient.original.as_deref();
    let written = original.map(|address| (address, recipient.identity));
    let identity = match original {
        Some(_) => Identity::FinalRecipient,
        None => recipient.identity,
    };
    let finally = (recipient.address.as_str(), identity);
    written
        .into_iter()
        .chain([finally])
        .filter_map(|(address, identity)| Some((Address::parse(address).ok()?, identity)))
        .filter(|(address, _)| !is_own(address))
        .map(|(address, identity)| Recognized {
            recipient,
            key: key(&address),
            address,
            identity,
        })
        .collect()
}
