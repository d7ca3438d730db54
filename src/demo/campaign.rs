//! The campaign: forty [`Recipient`]s, what is known of them, and what must happen to each.

use super::mailbox::Mailbox;
use crate::log::Entry;
use crate::log::entry::Outcome as Ending;
use crate::mail::Address;
use crate::suppression::event::Grounds;
use crate::suppression::{Change, Reason, Scope, Verdict};

/// The list that the campaign is sent to, as its List-Id says.
pub(crate) const THIS_LIST: &str = "weekly.example.com";

/// A list that some have left and that this campaign is not about.
const OTHER_LIST: &str = "offers.example.com";

/// How many soft bounces make an address undeliverable, as the demo configures it.
pub(crate) const SOFT_LIMIT: u32 = 5;

/// Somebody the campaign is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    /// Where.
    pub(crate) address: Address,
    /// What is special.
    pub(crate) role: Role,
}

/// What is special about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing.
    Reader,
    /// Opted out of everything.
    OptedOut,
    /// Opted out of this list; only the message's own header says that it is this list.
    LeftThisList,
    /// Opted out of another list.
    LeftOtherList,
    /// The marketer decided not to write to them.
    DoNotEmail,
    /// The mailbox does not exist any more; how the far end says so.
    Gone(Mailbox),
    /// The mailbox is full, and was full for so many issues before.
    Full {
        /// Earlier issues that came back.
        earlier: u32,
    },
}

/// Each role, how often it occurs, and what the local-parts begin with.
const CAST: [(Role, u32, &str); 11] = [
    (Role::Reader, 18, "reader"),
    (Role::OptedOut, 4, "optout"),
    (Role::LeftThisList, 2, "leftlist"),
    (Role::LeftOtherList, 1, "offers"),
    (Role::DoNotEmail, 3, "noemail"),
    (Role::Gone(Mailbox::Unknown), 3, "unknown"),
    (Role::Gone(Mailbox::Disabled), 2, "disabled"),
    (Role::Gone(Mailbox::NoDomain), 1, "nodomain"),
    (Role::Gone(Mailbox::KnownUnknown), 1, "nobody"),
    (Role::Full { earlier: 4 }, 4, "full"),
    (Role::Full { earlier: 1 }, 1, "filling"),
];

/// Domains that are nobody's (RFC 2606).
const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];

/// A step through the cast that meets everybody once and neighbours far apart, as a real list does.
const STRIDE: usize = 17;

/// Everybody, in the order of sending.
pub(crate) fn recipients() -> Vec<Recipient> {
    let cast: Vec<_> = CAST
        .iter()
        .flat_map(|&(role, count, name)| (1..=count).map(move |n| (role, format!("{name}{n:02}"))))
        .collect();
    (0..cast.len())
        .filter_map(|place| {
            let (role, name) = cast.get(place * STRIDE % cast.len())?;
            let domain = DOMAINS[place % DOMAINS.len()];
            let address = Address::parse(&format!("{name}@{domain}")).ok()?;
            Some(Recipient {
                address,
                role: *role,
            })
        })
        .collect()
}

/// Which time the campaign is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The first time: nobody knows yet who will bounce.
    First,
    /// Again, after the reports came back.
    Second,
}

/// What happened to a message for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The gateway's verdict.
    pub(crate) verdict: Verdict,
    /// Why it was not relayed.
    pub(crate) reason: Option<Reason>,
    /// Whether the smarthost took it.
    pub(crate) delivered: bool,
}

impl Outcome {
    const RELAYED: Self = Self {
        verdict: Verdict::Relay,
        reason: None,
        delivered: true,
    };

    /// The gateway would have relayed it, and the smarthost refused.
    const REFUSED_UPSTREAM: Self = Self {
        delivered: false,
        ..Self::RELAYED
    };

    const fn suppressed(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Reject,
            reason: Some(reason),
            delivered: false,
        }
    }

    /// As the suppression log tells it.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            verdict: entry.verdict,
            reason: entry.reason,
            delivered: entry.outcome == Some(Ending::Delivered),
        }
    }
}

impl Role {
    /// What an operator has on record before the campaign.
    pub(crate) fn on_record(self) -> Option<Change> {
        let scope = match self {
            Self::OptedOut => Scope::All,
            Self::LeftThisList => Scope::list(THIS_LIST).ok()?,
            Self::LeftOtherList => Scope::list(OTHER_LIST).ok()?,
            Self::DoNotEmail => {
                return Some(Change::Block {
                    why: "asked by telephone".to_owned(),
                    until: None,
                });
            }
            Self::Reader | Self::Gone(_) | Self::Full { .. } => return None,
        };
        let grounds = Grounds {
            reason: Some("asked by mail".to_owned()),
            ..Grounds::default()
        };
        Some(Change::OptOut { scope, grounds })
    }

    /// What becomes of mail at the far end.
    pub(crate) const fn mailbox(self) -> Mailbox {
        match self {
            Self::Gone(how) => how,
            Self::Full { .. } => Mailbox::Full,
            _ => Mailbox::Fine,
        }
    }

    /// How many issues before this one came back.
    pub(crate) const fn earlier_issues(self) -> u32 {
        match self {
            Self::Full { earlier } => earlier,
            _ => 0,
        }
    }

    /// What must happen.
    pub(crate) const fn expected(self, pass: Pass) -> Outcome {
        match (self, pass) {
            (Self::OptedOut | Self::LeftThisList, _) => Outcome::suppressed(Reason::OptOut),
            (Self::DoNotEmail, _) => Outcome::suppressed(Reason::DoNotEmail),
            (Self::Gone(Mailbox::KnownUnknown), Pass::First) => Outcome::REFUSED_UPSTREAM,
            (Self::Gone(_), Pass::Second) => Outcome::suppressed(Reason::HardBounce),
            (Self::Full { earlier }, Pass::Second) if earlier + 1 >= SOFT_LIMIT => {
                Outcome::suppressed(Reason::SoftBounce)
            }
            (Self::Reader | Self::LeftOtherList | Self::Gone(_) | Self::Full { .. }, _) => {
                Outcome::RELAYED
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn forty_recipients_and_nobody_twice() {
        let recipients = recipients();
        let different: HashSet<_> = recipients.iter().map(|one| &one.address).collect();
        assert_eq!((recipients.len(), different.len()), (40, 40));
        for (role, count, _) in CAST {
            let found = recipients.iter().filter(|one| one.role == role).count();
            assert_eq!(found, count as usize, "{role:?}");
        }
    }

    fn count(pass: Pass, outcome: Outcome) -> usize {
        recipients()
            .iter()
            .filter(|one| one.role.expected(pass) == outcome)
            .count()
    }

    #[test]
    fn the_second_pass_refuses_those_who_bounced_and_nobody_else() {
        let counts = |outcome| (count(Pass::First, outcome), count(Pass::Second, outcome));
        assert_eq!(counts(Outcome::RELAYED), (30, 20));
        assert_eq!(counts(Outcome::REFUSED_UPSTREAM), (1, 0));
        assert_eq!(counts(Outcome::suppressed(Reason::OptOut)), (6, 6));
        assert_eq!(counts(Outcome::suppressed(Reason::DoNotEmail)), (3, 3));
        assert_eq!(counts(Outcome::suppressed(Reason::HardBounce)), (0, 7));
        assert_eq!(counts(Outcome::suppressed(Reason::SoftBounce)), (0, 4));
    }

    #[test]
    fn whoever_is_refused_in_the_first_pass_is_on_record() {
        for (role, ..) in CAST {
            let refused = role.expected(Pass::First).verdict == Verdict::Reject;
            let recorded = role.on_record().is_some() && role != Role::LeftOtherList;
            assert_eq!(refused, recorded, "{role:?}");
        }
    }
}
