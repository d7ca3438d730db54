//! A [`ReportedRecipient`] is one recipient of a report, with what happened to its mail.

use serde::Serialize;

use super::cause::{Cause, Effect, Fault, Permanence};
use super::classify::{Classification, Refusal, classify};
use super::rules::Rules;
use crate::mail::EnhancedStatus;

/// What the reporting host did, RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It gave up.
    Failed,
    /// It goes on trying.
    Delayed,
    /// The message is in the mailbox.
    Delivered,
    /// It was passed to a system that sends no reports.
    Relayed,
    /// It was passed to several addresses behind this one.
    Expanded,
}

/// What named the recipient of a report. Earlier ones are believed before later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Our own signed return path, to which the report came.
    ReturnPath,
    /// The report's field for the address that was written to: RFC 3464 §2.3.1, RFC 5965 §3.2.
    OriginalRecipient,
    /// A field of a certain program, as `X-Failed-Recipients`, or a provider's notification.
    VendorField,
    /// The report's field for the address that was reached, RFC 3464 §2.3.2.
    FinalRecipient,
    /// Words.
    Text,
    /// The To field of the message that came back, where the report itself names nobody.
    ReturnedHeader,
}

/// One recipient of a report. Nothing in it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedRecipient {
    /// The address as the report names it; forwarding may have changed it.
    pub address: String,
    /// The address that was written to, where the report gives another one.
    pub original: Option<String>,
    /// What named the recipient: `original` where there is one, else `address`.
    pub identity: Identity,
    /// What was done; absent where the report says nothing that can be read.
    pub action: Option<Action>,
    /// The enhanced status code.
    pub status: Option<EnhancedStatus>,
    /// The SMTP reply code.
    pub reply_code: Option<u16>,
    /// What the refusing host said, unfolded and cut to a limit.
    pub diagnostic: Option<String>,
    /// The host that refused, without its name type.
    pub remote_mta: Option<String>,
    /// Why.
    pub reason: Cause,
    /// Who would have to change something.
    pub fault: Fault,
    /// Whether trying again later could help.
    pub permanence: Permanence,
    /// What it does to the recipient's record.
    pub effect: Effect,
    /// What decided: `text:` and the id of a rule, `status:`, `reply:`, `action:` or `feedback:` with the value.
    pub rule: String,
    /// The words by which the rule decided, in lower case; absent where it went by codes.
    pub matched: Option<String>,
    /// What the rules have still to be tried on; absent once it is decided.
    #[serde(skip)]
    undecided: Option<Words>,
}

/// What was said about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    /// Those that stand close to its address, where they are not all.
    close: Option<String>,
    all: String,
}

impl Action {
    /// Reads the field in any case; what follows the word is a comment.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let end = value
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(value.len());
        let word = &value[..end];
        let known = [
            ("failed", Self::Failed),
            // Not in the standard, yet some servers write them.
            ("failure", Self::Failed),
            ("error", Self::Failed),
            ("expired", Self::Failed),
            ("undeliverable", Self::Failed),
            ("deferred", Self::Delayed),
            ("delayed", Self::Delayed),
            ("delivered", Self::Delivered),
            ("relayed", Self::Relayed),
            ("expanded", Self::Expanded),
        ];
        known
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name))
            .map(|(_, action)| *action)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

impl ReportedRecipient {
    /// A recipient of whom nothing but the address is known.
    pub(super) fn named(address: String) -> Self {
        Self {
            address,
            original: None,
            identity: Identity::Text,
            action: None,
            status: None,
            reply_code: None,
            diagnostic: None,
            remote_mta: None,
            reason: Cause::Unknown,
            fault: Fault::Unknown,
            permanence: Permanence::Unknown,
            effect: Effect::None,
            rule: String::new(),
            matched: None,
            undecided: None,
        }
    }

    /// Decides what the action alone decides; else `text` is what the rules will be tried on.
    pub(super) fn decide(&mut self, text: &str) {
        self.decide_by("", text);
    }

    /// The same with the words close to the recipient, which are tried before all words there are.
    pub(super) fn decide_by(&mut self, close: &str, all: &str) {
        match self.action {
            Some(action @ (Action::Delivered | Action::Relayed | Action::Expanded)) => {
                self.take(Classification::without_effect(
                    Cause::Delivered,
                    format!("action:{}", action.name()),
                ));
            }
            Some(Action::Failed | Action::Delayed) | None => {
                let is_part = !close.is_empty() && close.len() < all.len();
                self.undecided = Some(Words {
                    close: is_part.then(|| close.to_owned()),
                    all: all.to_owned(),
                });
            }
        }
    }

    /// Tries the rules, if they have still to be tried. Only `Action: failed` counts (B3).
    pub(super) fn judge(&mut self, reporting_mta: Option<&str>, rules: &Rules) {
        let Some(words) = self.undecided.take() else {
            return;
        };
        let by_close = words
            .close
            .map(|close| self.classify(&close, reporting_mta, rules))
            .filter(Classification::is_by_rule);
        let classification =
            by_close.unwrap_or_else(|| self.classify(&words.all, reporting_mta, rules));
        self.take(match self.action {
            Some(Action::Failed) => classification,
            other => Classification {
                effect: Effect::None,
                rule: format!("action:{}", other.map_or("none", Action::name)),
                ..classification
            },
        });
    }

    /// Where the report names no refusing host, the one that reports speaks for itself.
    fn classify(&self, text: &str, reporting_mta: Option<&str>, rules: &Rules) -> Classification {
        let host = self.remote_mta.as_deref().or(reporting_mta);
        let domain = self.address.rsplit_once('@').map(|(_, domain)| domain);
        let refusal = Refusal {
            status: self.status,
            reply_code: self.reply_code,
            text,
            hosts: &[host.unwrap_or_default(), domain.unwrap_or_default()],
        };
        classify(&refusal, rules)
    }

    /// Takes over what was decided elsewhere.
    pub(super) fn take(&mut self, classification: Classification) {
        self.reason = classification.cause;
        self.fault = classification.fault;
        self.permanence = classification.permanence;
        self.effect = classification.effect;
        self.rule = classification.rule;
        self.matched = classification.matched;
        self.undecided = None;
    }
}
