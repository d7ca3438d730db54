//! A [`Cause`] is why a message came back; its [`Fault`], [`Permanence`] and [`Effect`] follow from it.

use serde::{Deserialize, Serialize};

/// Why a message came back. The snake-case names are stable: rules, the command line and statistics use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There is no such mailbox.
    UserUnknown,
    /// The mailbox exists no more or is switched off.
    MailboxDisabled,
    /// The person moved away and left no forwarding address.
    HasMoved,
    /// The address cannot be an address.
    BadAddress,
    /// The domain does not exist.
    HostUnknown,
    /// The domain says that it takes no mail (RFC 7505, RFC 7504).
    DomainTakesNoMail,
    /// The mailbox has no room.
    MailboxFull,
    /// The mailbox accepts only certain senders or lists.
    RecipientRestricted,

    /// No server of the domain answered, or the connection broke.
    HostUnreachable,
    /// A name server did not answer, or not with what is needed; the domain may well exist.
    DnsFailure,
    /// The message went round in circles or no way was found.
    Routing,
    /// It was tried until the time was up; nothing says why.
    Expired,
    /// The receiving system is broken or out of room.
    SystemTrouble,

    /// A gateway such as this one refused to send: our own list speaks, not the recipient's server.
    Suppressed,
    /// The sender's address or domain was refused.
    SenderRejected,
    /// SPF, DKIM or DMARC of the sender failed.
    Authentication,
    /// The sending host has no name, or one that does not lead back to it.
    ReverseDns,
    /// The sending host or domain has a bad name with the receiver.
    Reputation,
    /// The sending host is on a block list, or is refused for what it is.
    Blocked,
    /// The content was taken for spam.
    Spam,
    /// The content carries, or was taken for, a virus.
    Virus,
    /// The content or an attachment is not accepted.
    Content,
    /// The message is too large.
    TooLarge,
    /// Too many messages, connections or recipients at a time.
    RateLimited,
    /// The server does not relay for this sender or recipient.
    RelayingDenied,
    /// Encryption or credentials are demanded.
    Security,
    /// A command or the message broke the protocol.
    Protocol,
    /// Some policy of the receiver, not told further.
    Policy,

    /// A complaint: the recipient called it spam (feedback type `abuse`).
    Complaint,
    /// The recipient opted out at the provider (feedback type `opt-out`).
    OptOut,
    /// The recipient says that it was no spam (feedback type `not-spam`).
    NotSpam,
    /// A feedback report of a type that says nothing about the recipient.
    OtherFeedback,

    /// Not a failure: delivered, relayed, expanded.
    Delivered,
    /// Nothing tells.
    Unknown,
}

/// Who would have to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The address or its owner.
    Recipient,
    /// Whoever sent the message, with what they sent.
    Sender,
    /// Machines and networks between the two.
    Infrastructure,
    /// Cannot be told.
    Unknown,
}

/// Whether trying again later could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permanence {
    /// It stays like this.
    Permanent,
    /// It may pass.
    Transient,
    /// Cannot be told.
    Unknown,
}

/// What a report does to the recipient's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// One hard bounce more.
    Hard,
    /// One soft bounce more.
    Soft,
    /// A complaint.
    Complaint,
    /// Consent withdrawn.
    OptOut,
    /// Nothing.
    None,
}

impl Fault {
    /// The stable name, the same as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Sender => "sender",
            Self::Infrastructure => "infrastructure",
            Self::Unknown => "unknown",
        }
    }
}

impl Cause {
    /// The stable name, as in `user_unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserUnknown => "user_unknown",
            Self::MailboxDisabled => "mailbox_disabled",
            Self::HasMoved => "has_moved",
            Self::BadAddress => "bad_address",
            Self::HostUnknown => "host_unknown",
            Self::DomainTakesNoMail => "domain_takes_no_mail",
            Self::MailboxFull => "mailbox_full",
            Self::RecipientRestricted => "recipient_restricted",
            Self::HostUnreachable => "host_unreachable",
            Self::DnsFailure => "dns_failure",
            Self::Routing => "routing",
            Self::Expired => "expired",
            Self::SystemTrouble => "system_trouble",
            Self::Suppressed => "suppressed",
            Self::SenderRejected => "sender_rejected",
            Self::Authentication => "authentication",
            Self::ReverseDns => "reverse_dns",
            Self::Reputation => "reputation",
            Self::Blocked => "blocked",
            Self::Spam => "spam",
            Self::Virus => "virus",
            Self::Content => "content",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::RelayingDenied => "relaying_denied",
            Self::Security => "security",
            Self::Protocol => "protocol",
            Self::Policy => "policy",
            Self::Complaint => "complaint",
            Self::OptOut => "opt_out",
            Self::NotSpam => "not_spam",
            Self::OtherFeedback => "other_feedback",
            Self::Delivered => "delivered",
            Self::Unknown => "unknown",
        }
    }

    /// Who would have to change something.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::UserUnknown
            | Self::MailboxDisabled
            | Self::HasMoved
            | Self::BadAddress
            | Self::HostUnknown
            | Self::DomainTakesNoMail
            | Self::MailboxFull
            | Self::RecipientRestricted
            | Self::Complaint
            | Self::OptOut => Fault::Recipient,
            Self::HostUnreachable
            | Self::DnsFailure
            | Self::Routing
            | Self::Expired
            | Self::SystemTrouble => Fault::Infrastructure,
            Self::Suppressed
            | Self::SenderRejected
            | Self::Authentication
            | Self::ReverseDns
            | Self::Reputation
            | Self::Blocked
            | Self::Spam
            | Self::Virus
            | Self::Content
            | Self::TooLarge
            | Self::RateLimited
            | Self::RelayingDenied
            | Self::Security
            | Self::Protocol
            | Self::Policy => Fault::Sender,
            Self::NotSpam | Self::OtherFeedback | Self::Delivered | Self::Unknown => Fault::Unknown,
        }
    }

    /// Whether it stays or passes, whatever the codes say; none where only the codes can tell.
    ///
    /// A full mailbox is mostly refused with 5xx, and yet tomorrow there may be room.
    #[must_use]
    pub fn permanence(self) -> Option<Permanence> {
        match self {
            Self::UserUnknown
            | Self::MailboxDisabled
            | Self::HasMoved
            | Self::BadAddress
            | Self::HostUnknown
            | Self::DomainTakesNoMail
            | Self::Complaint
            | Self::OptOut => Some(Permanence::Permanent),
            Self::MailboxFull
            | Self::HostUnreachable
            | Self::DnsFailure
            | Self::Expired
            | Self::RateLimited => Some(Permanence::Transient),
            _ => None,
        }
    }

    /// What a final failure for this cause does to the recipient (B3).
    ///
    /// The recipient is never charged for what the sender or nobody can be blamed for.
    #[must_use]
    pub fn effect(self, permanence: Permanence) -> Effect {
        match self {
            Self::UserUnknown
            | Self::MailboxDisabled
            | Self::HasMoved
            | Self::BadAddress
            | Self::HostUnknown
            | Self::DomainTakesNoMail => match permanence {
                Permanence::Permanent => Effect::Hard,
                // The same server says the same of a mailbox that is there: five times is a sign.
                Permanence::Transient | Permanence::Unknown => Effect::Soft,
            },
            Self::MailboxFull
            | Self::HostUnreachable
            | Self::DnsFailure
            | Self::Routing
            | Self::Expired => Effect::Soft,
            // Tried to the end, so something lasted; it may be the mailbox.
            Self::RecipientRestricted | Self::SystemTrouble | Self::Unknown
                if permanence == Permanence::Transient =>
            {
                Effect::Soft
            }
            Self::Complaint => Effect::Complaint,
            Self::OptOut => Effect::OptOut,
            _ => Effect::None,
        }
    }
}

impl Permanence {
    /// The stable name, as in `transient`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
        }
    }
}
