//! [`Rules`] say which cause the words and codes of a refusal give away. They are data: `config/bounce-rules.toml`.
//!
//! The first rule in the order of the file that holds decides. Rules of one provider stand before those
//! for everybody, and an operator's own rules before all.

mod compile;
mod file;
mod matcher;
mod pattern;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

pub use file::{RuleProblem, RulesError};

use super::cause::{Cause, Permanence};
use super::classify::Refusal;
use crate::mail::EnhancedStatus;
use matcher::Matcher;
use pattern::StatusPattern;
use words::{said_of_addresses, telling_words};

/// The rules that are built in, so that every gateway decides alike.
const BUILT_IN: &str = include_str!("../../config/bounce-rules.toml");

/// Rules ready for use. They never change; who wants others makes new ones.
#[derive(Default)]
pub struct Rules {
    /// In the order in which they are tried.
    rules: Vec<Rule>,
    /// Those that look at codes alone.
    without_words: Vec<usize>,
    /// The provider of each domain, a bit each.
    providers: HashMap<String, u64>,
    matcher: Matcher,
}

/// Words and codes, and what they give away.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its stable name.
    pub(super) id: String,
    /// What it gives away.
    pub(super) cause: Cause,
    /// How long that lasts, where it differs from what cause and codes say.
    pub(super) permanence: Option<Permanence>,
    /// Where it is known from.
    source: String,
    /// Providers with which alone it holds, a bit each; 0 means all.
    providers: u64,
    /// Status codes with which alone it holds; empty means all.
    status: Vec<StatusPattern>,
    /// Reply codes with which alone it holds; empty means all.
    reply: Vec<u16>,
}

/// The rule that decides, and the words that made it.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) rule: &'a Rule,
    /// In lower case; absent where the codes sufficed.
    pub(super) words: Option<String>,
}

impl Rules {
    /// The rules that are built in.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| {
            // A test proves that they compile; without rules the codes would still speak.
            Arc::new(compile::compile(None).unwrap_or_default())
        });
        Arc::clone(&RULES)
    }

    /// The built-in rules, extended and overridden by those of an operator's file.
    ///
    /// A rule with the id of a built-in one takes its place, or switches it off with
    /// `disabled = true`; all others are tried before the built-in ones, in the order of the file.
    ///
    /// # Errors
    /// Everything that is wrong with the file, among it an example that another rule decides on.
    pub fn with(operator: &str) -> Result<Self, RulesError> {
        compile::compile(Some(operator))
    }

    /// Where a rule is known from, if there is such a rule.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&str> {
        let rule = self.rules.iter().find(|rule| rule.id == id)?;
        Some(&rule.source)
    }

    /// The first rule that holds.
    pub(super) fn decide(&self, refusal: &Refusal<'_>) -> Option<Decision<'_>> {
        let mut words = telling_words(refusal.text);
        words.push_str(&said_of_addresses(refusal.text));
        let mut found = self.matcher.find(&words);
        for host in refusal.hosts {
            found.providers |= self.provider_of(host);
        }
        let holds = |rule: &Rule| rule.holds(found.providers, refusal);
        found.phrases.sort_unstable();
        let by_words = found
            .phrases
            .iter()
            .find(|(rule, ..)| holds(&self.rules[*rule]));
        let by_codes = self
            .without_words
            .iter()
            .find(|rule| holds(&self.rules[**rule]));
        match (by_words, by_codes) {
            (Some((rule, start, end)), codes) if codes.is_none_or(|codes| rule < codes) => {
                Some(Decision {
                    rule: &self.rules[*rule],
                    words: words.get(*start..*end).map(str::to_owned),
                })
            }
            (_, Some(rule)) => Some(Decision {
                rule: &self.rules[*rule],
                words: None,
            }),
            _ => None,
        }
    }

    /// The providers in whose domain a host is.
    fn provider_of(&self, host: &str) -> u64 {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let mut domain = host.as_str();
        loop {
            if let Some(providers) = self.providers.get(domain) {
                return *providers;
            }
            match domain.split_once('.') {
                Some((_, parent)) => domain = parent,
                None => return 0,
            }
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Rule {
    fn holds(&self, providers: u64, refusal: &Refusal<'_>) -> bool {
        (self.providers == 0 || self.providers & providers != 0)
            && (self.status.is_empty() || refusal.status.is_some_and(|status| self.takes(status)))
            && (self.reply.is_empty()
                || refusal
                    .reply_code
                    .is_some_and(|code| self.reply.contains(&code)))
    }

    fn takes(&self, status: EnhancedStatus) -> bool {
        self.status.iter().any(|pattern| pattern.matches(status))
    }
}

#[cfg(test)]
mod tests;
