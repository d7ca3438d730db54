//! A [`Classification`] is what a refusal means: its cause, whose fault it is, what it does, and what decided.
//!
//! The text speaks before the status code, the status code before the reply code: servers choose
//! codes carelessly and words with care.

use super::cause::{Cause, Effect, Fault};
use super::codes::blames_sender;
use super::rules;
use crate::mail::EnhancedStatus;

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Why.
    pub cause: Cause,
    /// Who would have to change something.
    pub fault: Fault,
    /// What it does to the recipient's record.
    pub effect: Effect,
    /// What decided: `text:` and the id of a rule, `status:5.1.1`, `reply:550`, or `none`.
    pub rule: String,
}

impl Classification {
    /// A cause that changes nothing.
    pub(super) fn without_effect(cause: Cause, rule: String) -> Self {
        Self {
            cause,
            fault: cause.fault(),
            effect: Effect::None,
            rule,
        }
    }
}

/// Says what a final failure means.
///
/// ```
/// use sendgate::bounce::{Cause, Effect, classify};
///
/// let full = classify(None, Some(550), "550 Mailbox full");
/// assert_eq!((full.cause, full.effect), (Cause::MailboxFull, Effect::Soft));
/// ```
#[must_use]
pub fn classify(
    status: Option<EnhancedStatus>,
    reply_code: Option<u16>,
    text: &str,
) -> Classification {
    let by_text = rules::find(text, status);
    let (cause, rule) = by_text
        .map(|rule| (rule.cause, format!("text:{}", rule.id)))
        .or_else(|| {
            let status = status?;
            by_status(status).map(|cause| (cause, format!("status:{status}")))
        })
        .or_else(|| reply_code.map(|code| (by_reply(code), format!("reply:{code}"))))
        .unwrap_or((Cause::Unknown, "none".to_owned()));
    // B3: 5.7.x never marks the recipient, whatever the words are.
    if let Some(status) = status.filter(|status| blames_sender(*status)) {
        return Classification::without_effect(
            cause,
            match cause.permanent_effect() {
                Effect::None => rule,
                _ => format!("status:{status}"),
            },
        );
    }
    let effect = if !is_transient(status, reply_code) {
        cause.permanent_effect()
    } else if by_text.is_some() && cause.fault() == Fault::Sender {
        // The recipient is not charged for a sender that was slowed down for too long.
        Effect::None
    } else {
        Effect::Soft
    };
    Classification {
        cause,
        fault: cause.fault(),
        effect,
        rule,
    }
}

/// Says what it means that an SMTP server refused a recipient at RCPT.
///
/// A transient refusal means nothing, because the client tries again.
#[must_use]
pub fn classify_refusal(
    reply_code: u16,
    status: Option<EnhancedStatus>,
    text: &str,
) -> Classification {
    let classification = classify(status, Some(reply_code), text);
    if !(500..600).contains(&reply_code) || is_transient(status, None) {
        return Classification {
            effect: Effect::None,
            rule: format!("reply:{reply_code}"),
            ..classification
        };
    }
    // RFC 5321 §4.2.3: 552 is "exceeded storage allocation". Only after data can it mean the message's size.
    if reply_code == 552 && status.is_none() && classification.cause == Cause::Unknown {
        return Classification {
            cause: Cause::MailboxFull,
            fault: Fault::Recipient,
            effect: Effect::Soft,
            rule: "reply:552".to_owned(),
        };
    }
    classification
}

/// A doubt between permanent and transient is settled in favour of the recipient.
fn is_transient(status: Option<EnhancedStatus>, reply_code: Option<u16>) -> bool {
    status.is_some_and(|status| status.class() == 4)
        || reply_code.is_some_and(|code| (400..500).contains(&code))
}

/// The registry of RFC 3463 and its successors (IANA, "SMTP Enhanced Status Codes").
///
/// Codes that say nothing (`5.0.0`, `5.1.0`, `5.2.0`) leave the word to the reply code.
fn by_status(status: EnhancedStatus) -> Option<Cause> {
    if status.class() == 2 {
        return Some(Cause::Delivered);
    }
    match (status.subject(), status.detail()) {
        (1, 1) => Some(Cause::UserUnknown),
        (1, 2) => Some(Cause::HostUnknown),
        (1, 3) => Some(Cause::BadAddress),
        (1, 6) => Some(Cause::HasMoved),
        (1, 7 | 8) => Some(Cause::SenderRejected),
        (1, 10) => Some(Cause::DomainTakesNoMail),
        (2, 1) => Some(Cause::MailboxDisabled),
        (2, 2) => Some(Cause::MailboxFull),
        (2, 3) | (3, 4) => Some(Cause::TooLarge),
        (2, 4) => Some(Cause::SystemTrouble),
        (3, 3) => Some(Cause::Protocol),
        (3, 6) => None,
        (3, _) => Some(Cause::SystemTrouble),
        (4, 1 | 2) => Some(Cause::HostUnreachable),
        // 5.4.4 alone may be a fault of our own resolver. Hard needs words such as "host not found".
        (4, 7) => Some(Cause::Expired),
        (4, _) => Some(Cause::Routing),
        (5, 3) => Some(Cause::RateLimited),
        (5, _) => Some(Cause::Protocol),
        (6, _) => Some(Cause::Content),
        (7, detail) => Some(by_policy_detail(detail)),
        _ => None,
    }
}

/// X.7.x: RFC 3463 §3.8, RFC 4954, RFC 7372, RFC 7505, RFC 8689, and Microsoft's range from 500 on.
fn by_policy_detail(detail: u16) -> Cause {
    match detail {
        2 => Cause::RecipientRestricted,
        4 | 5 | 8..=14 | 30 => Cause::Security,
        7 | 20..=26 | 29 | 509 | 515 => Cause::Authentication,
        27 => Cause::SenderRejected,
        28 => Cause::RateLimited,
        606..=649 => Cause::Blocked,
        _ => Cause::Policy,
    }
}

/// What a bare reply code tells, which is little: 550 is said for every reason there is.
fn by_reply(code: u16) -> Cause {
    match code {
        500..=504 | 555 => Cause::Protocol,
        530 | 534 | 535 | 538 => Cause::Security,
        // RFC 7504 §4: a server knows that the recipient's domain accepts no mail.
        556 => Cause::DomainTakesNoMail,
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests;
