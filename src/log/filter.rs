//! A [`Filter`] says which lines of the suppression log somebody wants to see.

use super::entry::Entry;
use super::line::Line;
use crate::mail::Address;
use crate::suppression::{Reason, RecipientKey, Tenant, Verdict};
use crate::timestamp::Timestamp;

/// Which lines are wanted: those that fit everything that is given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this reason, be it the reported one or a further one.
    pub reason: Option<Reason>,
    /// Only this verdict.
    pub verdict: Option<Verdict>,
    /// Only this recipient.
    pub recipient: Option<Wanted>,
    /// Only this stream.
    pub stream: Option<String>,
    /// Only this tenant.
    pub tenant: Option<Tenant>,
    /// Only from then on.
    pub since: Option<Timestamp>,
}

/// A recipient to look for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The address, compared in canonical form (E2).
    pub address: Address,
    /// Its key, for logs that hold no addresses; without it their lines never fit.
    pub key: Option<RecipientKey>,
}

impl Filter {
    /// Whether a line is wanted. A gap always is: what is missing may have been wanted.
    #[must_use]
    pub fn admits(&self, line: &Line) -> bool {
        match line {
            Line::Entry(entry) => self.admits_entry(entry),
            Line::Gap(gap) => self.since.is_none_or(|since| gap.time >= since),
        }
    }

    fn admits_entry(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.verdict.is_none_or(|verdict| entry.verdict == verdict)
            && self
                .reason
                .is_none_or(|reason| entry.reason == Some(reason) || entry.also.contains(&reason))
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| entry.tenant == *tenant)
            && self
                .stream
                .as_ref()
                .is_none_or(|stream| entry.stream.eq_ignore_ascii_case(stream))
            && self
                .recipient
                .as_ref()
                .is_none_or(|wanted| wanted.is_recipient_of(entry))
    }
}

impl Wanted {
    fn is_recipient_of(&self, entry: &Entry) -> bool {
        match entry.key {
            Some(key) => self.key == Some(key),
            None => Address::parse(&entry.recipient).is_ok_and(|address| address == self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry::example;

    fn wanted(address: &str, key: Option<RecipientKey>) -> Filter {
        let address = Address::parse(address).unwrap();
        Filter {
            recipient: Some(Wanted { address, key }),
            ..Filter::default()
        }
    }

    fn plain(recipient: &str) -> Line {
        let mut entry = example(recipient);
        entry.key = None;
        Line::Entry(Box::new(entry))
    }

    #[test]
    fn e2_every_spelling_of_a_recipient_is_found() {
        let filter = wanted("bob@example.net", None);
        assert!(filter.admits(&plain("\"Bob\"@EXAMPLE.net.")));
        assert!(!filter.admits(&plain("rob@example.net")));
        assert!(!filter.admits(&plain("example.net")));
    }

    #[test]
    fn hashed_lines_are_found_by_their_key() {
        let entry = example("bob@example.net");
        let key = entry.key;
        let line = Line::Entry(Box::new(entry));
        assert!(wanted("bob@example.net", key).admits(&line));
        assert!(!wanted("bob@example.net", None).admits(&line));
    }

    #[test]
    fn everything_given_must_fit() {
        let line = plain("bob@example.net");
        let fits = |filter: &Filter| filter.admits(&line);
        let mut filter = Filter {
            reason: Some(Reason::OptOut),
            verdict: Some(Verdict::Reject),
            stream: Some("Campaign".to_owned()),
            tenant: Some(Tenant::default()),
            since: Some(Timestamp::from_millis(1_795_328_400_000)),
            recipient: None,
        };
        assert!(fits(&filter));
        filter.reason = Some(Reason::HardBounce);
        assert!(!fits(&filter));
        filter.reason = None;
        filter.since = Some(Timestamp::from_millis(1_795_328_400_124));
        assert!(!fits(&filter));
    }
}
