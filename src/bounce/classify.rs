//! A [`Classification`] is what a [`Refusal`] means: its cause, whose fault it is, what it does, and what decided.
//!
//! The text speaks before the status code, the status code before the reply code: servers choose
//! codes carelessly and words with care.

use super::cause::{Cause, Effect, Fault, Permanence};
use super::codes::blames_sender;
use super::rules::Rules;
use crate::mail::EnhancedStatus;

/// What a server said when it did not take a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusal<'a> {
    /// The enhanced status code.
    pub status: Option<EnhancedStatus>,
    /// The SMTP reply code.
    pub reply_code: Option<u16>,
    /// Its words, in any layout; codes and addresses among them do no harm.
    pub text: &'a str,
    /// Who said it: names of the refusing host, and the recipient's domain. Hosts in the text count as well.
    pub hosts: &'a [&'a str],
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Why.
    pub cause: Cause,
    /// Who would have to change something.
    pub fault: Fault,
    /// Whether trying again later could help.
    pub permanence: Permanence,
    /// What it does to the recipient's record.
    pub effect: Effect,
    /// What decided: `text:` and the id of a rule, `status:5.1.1`, `reply:550`, or `none`.
    pub rule: String,
    /// The words by which the rule decided, in lower case; absent where the codes sufficed.
    pub matched: Option<String>,
}

impl Classification {
    /// What follows from a cause that the rule found.
    pub(super) fn of(cause: Cause, permanence: Permanence, rule: String) -> Self {
        Self {
            cause,
            fault: cause.fault(),
            permanence,
            effect: cause.effect(permanence),
            rule,
            matched: None,
        }
    }

    /// A cause that changes nothing.
    pub(super) fn without_effect(cause: Cause, rule: String) -> Self {
        Self {
            effect: Effect::None,
            ..Self::of(cause, Permanence::Unknown, rule)
        }
    }

    /// Whether a rule decided rather than a bare code.
    pub(super) fn is_by_rule(&self) -> bool {
        self.rule.starts_with("text:")
    }
}

/// Says what a final failure means.
///
/// ```
/// use sendgate::bounce::{Cause, Effect, Refusal, Rules, classify};
///
/// let refusal = Refusal { text: "550 Mailbox full", reply_code: Some(550), ..Refusal::default() };
/// let full = classify(&refusal, &Rules::built_in());
/// assert_eq!((full.cause, full.effect), (Cause::MailboxFull, Effect::Soft));
/// ```
#[must_use]
pub fn classify(refusal: &Refusal<'_>, rules: &Rules) -> Classification {
    let classification = match rules.decide(refusal) {
        Some(decision) => {
            let cause = decision.rule.cause;
            let permanence = decision.rule.permanence;
            let permanence = permanence.unwrap_or_else(|| refusal.permanence(cause));
            Classification {
                matched: decision.words,
                ..Classification::of(cause, permanence, format!("text:{}", decision.rule.id))
            }
        }
        None => by_codes(refusal),
    };
    // B3: 5.7.x never marks the recipient, whatever the words are.
    match refusal.status.filter(|status| blames_sender(*status)) {
        Some(status) if classification.effect != Effect::None => Classification {
            effect: Effect::None,
            rule: format!("status:{status}"),
            ..classification
        },
        _ => classification,
    }
}

/// Says what it means that an SMTP server refused a recipient at RCPT.
///
/// A transient refusal means nothing, because the client tries again.
#[must_use]
pub fn classify_refusal(refusal: &Refusal<'_>, rules: &Rules) -> Classification {
    let classification = classify(refusal, rules);
    let reply_code = refusal.reply_code.unwrap_or_default();
    let is_transient = refusal.status.is_some_and(|status| status.class() == 4);
    if !(500..600).contains(&reply_code) || is_transient {
        return Classification {
            effect: Effect::None,
            rule: format!("reply:{reply_code}"),
            ..classification
        };
    }
    // RFC 5321 §4.2.3: 552 is "exceeded storage allocation". Only after data can it mean the message's size.
    if reply_code == 552 && refusal.status.is_none() && classification.cause == Cause::Unknown {
        let rule = "reply:552".to_owned();
        return Classification::of(Cause::MailboxFull, Permanence::Transient, rule);
    }
    classification
}

impl Refusal<'_> {
    /// Whether it lasts. A doubt is settled in favour of the recipient.
    fn permanence(&self, cause: Cause) -> Permanence {
        let class = |wanted: u16| {
            self.status
                .is_some_and(|status| u16::from(status.class()) == wanted)
                || self.reply_code.is_some_and(|code| code / 100 == wanted)
        };
        if class(4) {
            Permanence::Transient
        } else if let Some(permanence) = cause.permanence() {
            permanence
        } else if class(5) {
            Permanence::Permanent
        } else {
            Permanence::Unknown
        }
    }
}

/// What the codes tell where no rule holds.
fn by_codes(refusal: &Refusal<'_>) -> Classification {
    let by_status = refusal
        .status
        .and_then(|status| Some((by_status(status)?, format!("status:{status}"))));
    let by_reply = || {
        let code = refusal.reply_code?;
        Some((by_reply(code), format!("reply:{code}")))
    };
    let (cause, rule) = by_status
        .or_else(by_reply)
        .unwrap_or((Cause::Unknown, "none".to_owned()));
    Classification::of(cause, refusal.permanence(cause), rule)
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
        (4, 3) => Some(Cause::DnsFailure),
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
        25 => Cause::ReverseDns,
        7 | 20..=24 | 26 | 29 | 509 | 515 => Cause::Authentication,
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
