//! The values of labels. A [`Name`] is one that the configuration chose, kept once for all its uses.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::suppression::{Reason, Verdict};

/// The name of a listener or a stream.
pub(super) type Name = Arc<str>;

/// The names that were used so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<HashSet<Name>>,
}

/// Names come from the configuration and are few. Should something else ever get in, such as a name
/// that a client chose, it must not grow without bound.
const NAME_LIMIT: usize = 10_000;

impl Names {
    /// The name as it is kept; only the first time it is copied.
    pub(super) fn intern(&self, name: &str) -> Name {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(name) {
            return Arc::clone(name);
        }
        let full = known.len() >= NAME_LIMIT;
        drop(known);
        let name: Name = if full { "other".into() } else { name.into() };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.get(&name) {
            Some(name) => Arc::clone(name),
            None => {
                known.insert(Arc::clone(&name));
                name
            }
        }
    }
}

pub(super) const fn of_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Relay => "relay",
        Verdict::Reject => "reject",
        Verdict::Defer => "defer",
        Verdict::Discard => "discard",
    }
}

pub(super) const fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Erased => "erased",
        Reason::HardBounce => "hard_bounce",
        Reason::Complaint => "complaint",
        Reason::DoNotEmail => "do_not_email",
        Reason::OptOut => "opt_out",
        Reason::SoftBounce => "soft_bounce",
        Reason::NoConsent => "no_consent",
        Reason::Unavailable => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let names = Names::default();
        assert!(Arc::ptr_eq(&names.intern("a"), &names.intern("a")));
        for number in 0..NAME_LIMIT + 5 {
            names.intern(&number.to_string());
        }
        assert_eq!(&*names.intern("yet another"), "other");
        assert_eq!(&*names.intern("a"), "a");
    }

    #[test]
    fn labels_are_the_words_of_the_log() {
        let word = |value| serde_json::to_value(value).unwrap();
        for verdict in [
            Verdict::Relay,
            Verdict::Reject,
            Verdict::Defer,
            Verdict::Discard,
        ] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), of_verdict(verdict));
        }
        for reason in [
            Reason::Erased,
            Reason::HardBounce,
            Reason::Complaint,
            Reason::DoNotEmail,
            Reason::OptOut,
            Reason::SoftBounce,
            Reason::NoConsent,
            Reason::Unavailable,
        ] {
            assert_eq!(word(reason), of_reason(reason));
        }
    }
}
