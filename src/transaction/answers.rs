//! What the client hears. Texts are short and generic: they show neither configuration nor store.

use crate::mail::EnhancedStatus;
use crate::smtp::body::BodyFault;
use crate::smtp::{Reply, UpstreamReply};
use crate::suppression::Reason;
use crate::suppression::policy::Judgement;

const fn of(class: u8, subject: u16, detail: u16) -> EnhancedStatus {
    EnhancedStatus::of(class, subject, detail)
}

/// `250` to a recipient.
#[must_use]
pub fn recipient_ok() -> Reply {
    Reply::new(250, of(2, 1, 5), "Recipient ok")
}

/// A recipient that must not get mail.
#[must_use]
pub fn suppressed(id: &str, judgement: &Judgement) -> Reply {
    let reason = judgement.reason.unwrap_or(Reason::DoNotEmail);
    // Senders file 5.1.1 as a hard bounce, which is right for an address that bounced.
    let status = match reason {
        Reason::HardBounce => judgement
            .status
            .filter(|status| {
                status.class() == 5
                    && matches!((status.subject(), status.detail()), (1, _) | (2, 1))
            })
            .unwrap_or(of(5, 1, 1)),
        Reason::SoftBounce => of(5, 2, 1),
        _ => of(5, 7, 1),
    };
    Reply::new(
        550,
        status,
        format!("{id} Recipient suppressed ({})", words(reason)),
    )
}

/// The reason in a reply.
#[must_use]
pub const fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Erased => "erased",
        Reason::HardBounce => "hard bounce",
        Reason::Complaint => "complaint",
        Reason::DoNotEmail => "do not email",
        Reason::OptOut => "opt-out",
        Reason::SoftBounce => "soft bounces",
        Reason::NoConsent => "no consent",
        Reason::Unavailable => "not checked",
    }
}

/// The store did not answer (S1).
#[must_use]
pub fn look_up_failed() -> Reply {
    Reply::new(451, of(4, 3, 0), "Temporary lookup failure")
}

/// The recipients of a signed transaction could not be recorded (B10).
#[must_use]
pub fn not_recorded() -> Reply {
    Reply::new(451, of(4, 3, 0), "Temporary failure to record recipients")
}

/// The client may not relay; said before any look-up (E1, E10).
#[must_use]
pub fn relay_denied() -> Reply {
    Reply::new(550, of(5, 7, 1), "Relaying denied")
}

/// Every recipient was taken out by a header, or none is left.
#[must_use]
pub fn all_suppressed(id: &str) -> Reply {
    Reply::new(550, of(5, 7, 1), format!("{id} All recipients suppressed"))
}

/// A message whose accepted recipients are all discarded ones.
#[must_use]
pub fn discarded(id: &str) -> Reply {
    Reply::new(250, of(2, 0, 0), format!("{id} discarded"))
}

/// The upstream cannot be connected to.
#[must_use]
pub fn upstream_unreachable() -> Reply {
    Reply::new(451, of(4, 4, 1), "Upstream not available")
}

/// The upstream went away, was too slow, or cannot be understood.
#[must_use]
pub fn upstream_lost() -> Reply {
    Reply::new(451, of(4, 4, 2), "Upstream connection lost")
}

/// The upstream refuses some of the recipients that it accepted before, when they are offered anew.
#[must_use]
pub fn recipients_refused_again() -> Reply {
    Reply::new(
        451,
        of(4, 4, 0),
        "Upstream refused recipients it had accepted",
    )
}

/// The upstream refuses our EHLO, TLS or AUTH: our configuration, not the client's fault.
#[must_use]
pub fn upstream_misconfigured() -> Reply {
    Reply::new(451, of(4, 3, 5), "Upstream configuration error")
}

/// What the client hears of the upstream's refusal of MAIL, RCPT, DATA or the message (R3, R5).
#[must_use]
pub fn of_upstream(reply: &UpstreamReply, at_mail: bool) -> Reply {
    match reply.code() {
        421 => upstream_lost(),
        530 | 535 | 538 if at_mail => upstream_misconfigured(),
        _ => reply.to_reply(),
    }
}

/// The data cannot be relayed.
#[must_use]
pub fn body_fault(fault: BodyFault) -> Reply {
    match fault {
        BodyFault::BareByte => Reply::new(550, of(5, 5, 2), "Bare CR, LF or NUL in the message"),
        BodyFault::TooLarge => Reply::new(552, of(5, 3, 4), "Message size exceeds the limit"),
        BodyFault::LongLine => Reply::new(554, of(5, 6, 0), "A text line is too long"),
    }
}

/// What MAIL or RCPT asks for is not offered here, or not upstream (E5, E7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOffered {
    /// RET, ENVID, NOTIFY or ORCPT.
    Dsn,
    /// SMTPUTF8.
    SmtpUtf8,
    /// BODY=8BITMIME.
    EightBitMime,
    /// REQUIRETLS.
    RequireTls,
    /// A declared size over the limit.
    Size,
    /// A non-ASCII address without SMTPUTF8.
    Utf8Address,
}

impl NotOffered {
    /// The refusal.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::Dsn => Reply::new(555, of(5, 5, 4), "DSN is not offered"),
            Self::SmtpUtf8 => Reply::new(550, of(5, 6, 7), "SMTPUTF8 is not supported upstream"),
            Self::EightBitMime => {
                Reply::new(554, of(5, 6, 3), "8BITMIME is not supported upstream")
            }
            Self::RequireTls => {
                Reply::new(550, of(5, 7, 30), "REQUIRETLS is not supported upstream")
            }
            Self::Size => Reply::new(552, of(5, 3, 4), "Message size exceeds the limit"),
            Self::Utf8Address => Reply::new(553, of(5, 6, 7), "Non-ASCII address without SMTPUTF8"),
        }
    }
}
