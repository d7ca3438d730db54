//! What follows from the configuration: the streams, the rules of events, our own name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Consent, OnUnavailable};
use crate::learning::Brake;
use crate::suppression::event::EventRules;
use crate::suppression::{self, StreamClass};

/// The streams that always exist, one for each class.
pub(super) const BUILT_IN_STREAMS: [(&str, StreamClass); 3] = [
    ("campaign", StreamClass::Campaign),
    ("transactional", StreamClass::Transactional),
    ("personal", StreamClass::Personal),
];

impl Config {
    /// How many threads carry sessions.
    #[must_use]
    pub fn workers(&self) -> usize {
        match self.limits.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    /// Every stream by name: the three that always exist, and the configured ones.
    ///
    /// A built-in stream that is configured too keeps its class unless the configuration changes it
    /// (`check` refuses that).
    #[must_use]
    pub fn streams(&self) -> BTreeMap<String, Arc<suppression::Stream>> {
        let built_in = BUILT_IN_STREAMS
            .iter()
            .filter(|(name, _)| !self.streams.contains_key(*name))
            .map(|(name, class)| suppression::Stream::new(name, *class));
        let configured = self.streams.iter().map(|(name, stream)| {
            let mut made = suppression::Stream::new(name, stream.class);
            if let Some(honours) = &stream.honours {
                made.honours.clone_from(honours);
            }
            made.consent_required = stream.consent == Consent::Required;
            made.pass_unavailable = stream.on_unavailable == OnUnavailable::Pass;
            made
        });
        built_in
            .chain(configured)
            .map(|mut stream| {
                stream.soft_limit = self.learning.soft_limit;
                stream.soft_window = self.soft_window();
                (stream.name.clone(), Arc::new(stream))
            })
            .collect()
    }

    /// What decides what an event does to a record.
    #[must_use]
    pub fn event_rules(&self) -> EventRules {
        EventRules {
            soft_limit: self.learning.soft_limit,
            soft_window: self.soft_window(),
            auto_do_not_email: self.learning.auto_do_not_email.clone(),
        }
    }

    /// How far back soft bounces count; none when all do.
    fn soft_window(&self) -> Option<Duration> {
        let window = self.learning.soft_window;
        (!window.is_zero()).then_some(window)
    }

    /// How much one cause may take out before an operator has to look; none when it is switched off.
    #[must_use]
    pub fn brake(&self) -> Option<Brake> {
        let learning = &self.learning;
        (learning.brake_recipients > 0).then_some(Brake {
            recipients: learning.brake_recipients,
            share: learning.brake_share,
            window: learning.brake_window,
        })
    }

    /// The name we greet with, say EHLO with and write into Received.
    ///
    /// Where none is configured it is the machine's own, made a valid domain (RFC 5321 §4.1.2).
    #[must_use]
    pub fn hostname(&self) -> String {
        if self.hostname.is_empty() {
            domain_of(&gethostname::gethostname().to_string_lossy())
        } else {
            self.hostname.clone()
        }
    }
}

/// A machine's name as a domain: what a domain cannot hold becomes a hyphen.
fn domain_of(name: &str) -> String {
    let domain = name
        .split('.')
        .map(|label| {
            label
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect::<String>()
        })
        .map(|label| label.trim_matches('-').to_ascii_lowercase())
        .filter(|label| (1..=63).contains(&label.len()))
        .collect::<Vec<_>>()
        .join(".");
    if is_domain(&domain) {
        domain
    } else {
        "localhost".to_owned()
    }
}

/// Whether this is a host name as the DNS would have it.
///
/// Underscores are let through: container networks give such names.
pub(super) fn is_domain(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stream;
    use crate::suppression::Axis;

    #[test]
    fn streams_are_the_built_in_and_the_configured() {
        let mut config = Config::default();
        config.learning.soft_limit = 3;
        config.streams.insert(
            "receipts".into(),
            Stream {
                class: StreamClass::Transactional,
                honours: Some(vec![Axis::HardBounce]),
                consent: Consent::Required,
                on_unavailable: OnUnavailable::Pass,
            },
        );
        let streams = config.streams();
        let names: Vec<_> = streams.keys().map(String::as_str).collect();
        assert_eq!(names, ["campaign", "personal", "receipts", "transactional"]);
        let receipts = &streams["receipts"];
        assert_eq!(receipts.honours, [Axis::HardBounce]);
        assert!(receipts.consent_required && receipts.pass_unavailable);
        assert!(streams.values().all(|stream| stream.soft_limit == 3));
        assert_eq!(streams["personal"].class, StreamClass::Personal);
        assert_eq!(config.event_rules().soft_limit, 3);
    }

    #[test]
    fn a_machine_name_becomes_a_domain() {
        for (name, domain) in [
            ("mail.example.com", "mail.example.com"),
            ("Macbook_von-Müller", "macbook-von-m-ller"),
            ("", "localhost"),
            ("...", "localhost"),
            ("-a-.b\n", "a.b"),
        ] {
            assert_eq!(domain_of(name), domain);
        }
        assert!(is_domain(&Config::default().hostname()));
    }

    #[test]
    fn knows_a_domain() {
        let long_label = "a".repeat(64);
        for (name, fine) in [
            ("example.com", true),
            ("localhost", true),
            ("mail_relay", true),
            ("", false),
            ("example.com.", false),
            ("a..b", false),
            ("-a.b", false),
            ("bücher.example", false),
            ("a b", false),
            (long_label.as_str(), false),
        ] {
            assert_eq!(is_domain(name), fine, "{name}");
        }
    }
}
