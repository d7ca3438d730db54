//! A [`Reason`] is why a recipient must not get mail, as an import can say it; lists have many words
//! for it.

use serde::{Deserialize, Serialize};

use super::RowError;

/// Why a recipient must not get mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// They withdrew consent.
    OptOut,
    /// The sender's own decision.
    DoNotEmail,
    /// The mailbox is permanently not there.
    HardBounce,
    /// They called the mail spam.
    Complaint,
}

/// What a word for a reason means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This reason.
    Reason(Reason),
    /// Passing trouble, which is not carried over.
    Passing,
    /// Somebody suppressed it by hand; the origin says who.
    ByHand,
}

impl Reason {
    /// The name, the same as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::DoNotEmail => "do_not_email",
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
        }
    }
}

/// What the word means, if it is known. Only what the makers of such lists document stands here, and
/// each word means the same in all of their lists.
pub(super) fn meaning(word: &str) -> Result<Meaning, RowError> {
    use Meaning::{ByHand, Passing};
    use Reason::{Complaint, DoNotEmail, HardBounce, OptOut};
    let plain = plain(word);
    Ok(match plain.as_str() {
        "optout" | "optedout" | "unsubscribe" | "unsubscribed" | "unsub" | "unsubscription"
        | "listunsubscribe" | "globalunsubscribe"
        // SparkPost's type: transactional mail may still go out.
        | "nontransactional" => Meaning::Reason(OptOut),
        "donotemail" | "donotmail" | "donotcontact" | "manual" | "manualblock" | "blocklist"
        | "blocklisted" | "blacklist" | "blacklisted" | "denylist" => Meaning::Reason(DoNotEmail),
        "hardbounce" | "hardbounced" | "hard" | "bounce" | "bounced" | "permanent"
        | "permanentbounce" | "invalid" | "invalidemail" | "cleaned" => {
            Meaning::Reason(HardBounce)
        }
        "complaint" | "complained" | "complaints" | "spam" | "spamcomplaint" | "spamreport"
        | "abuse" => Meaning::Reason(Complaint),
        "softbounce" | "softbounced" | "soft" | "transient" | "deferred" | "block" | "blocked" => {
            Passing
        }
        "manualsuppression" => ByHand,
        _ => return Err(RowError::UnknownReason(shown(word))),
    })
}

/// Whose decision a suppression by hand was (Postmark's `Origin`).
pub(super) fn origin(word: &str) -> Option<Reason> {
    match plain(word).as_str() {
        "recipient" => Some(Reason::OptOut),
        "customer" | "admin" => Some(Reason::DoNotEmail),
        _ => None,
    }
}

/// Letters and digits only, in lower case: `Hard Bounce` and `hard_bounce` are one word.
pub(super) fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// A word for an error: not longer than a line.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Reason) {
        assert_eq!(meaning(word), Ok(Meaning::Reason(expected)), "{word}");
    }

    #[test]
    fn words_of_many_makes_are_known() {
        for word in ["BOUNCE", "HardBounce", "hard_bounce", "Hard Bounce", "hard"] {
            check(word, Reason::HardBounce);
        }
        for word in ["COMPLAINT", "SpamComplaint", "Spam Complaint", "spam"] {
            check(word, Reason::Complaint);
        }
        for word in ["unsubscribe", "Opt-Out", "opted_out", "non_transactional"] {
            check(word, Reason::OptOut);
        }
        for word in ["do_not_email", "Do Not Email", "manual_block", "manual"] {
            check(word, Reason::DoNotEmail);
        }
        for word in ["soft_bounce", "Soft Bounce", "blocked"] {
            assert_eq!(meaning(word), Ok(Meaning::Passing), "{word}");
        }
        assert_eq!(meaning("ManualSuppression"), Ok(Meaning::ByHand));
        assert_eq!(origin("Recipient"), Some(Reason::OptOut));
        assert_eq!(origin("Customer"), Some(Reason::DoNotEmail));
        assert_eq!(origin(""), None);
    }

    #[test]
    fn a_word_that_is_not_known_is_never_guessed() {
        for word in [
            "non_transaction",
            "550 5.1.1 unknown",
            "hardly",
            "2026-01-01",
            "x",
        ] {
            let refused = meaning(word);
            assert_eq!(refused, Err(RowError::UnknownReason(word.to_owned())));
        }
    }
}
