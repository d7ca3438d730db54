//! From what is written to [`Rules`]: merged, checked, and tried on their own examples.

use std::collections::{HashMap, HashSet};

use serde_spanned::Spanned;

use super::file::{RuleProblem, Written, WrittenRule};
use super::matcher::{GAP, MatcherBuilder};
use super::words::{ADDRESS, telling_words};
use super::{BUILT_IN, Rule, Rules, RulesError};
use crate::bounce::classify::Refusal;
use crate::bounce::codes::{reply_code_in, status_in};

/// Providers that can be told apart: each has a bit.
const PROVIDER_LIMIT: usize = 64;

/// Compiles the built-in rules, with those of an operator's file if there is one.
///
/// What is wrong is looked for in the operator's file, or else in the built-in one.
pub(super) fn compile(operator: Option<&str>) -> Result<Rules, RulesError> {
    let built_in = Written::read(BUILT_IN)?;
    match operator {
        Some(source) => Compiler::new(source, &Written::read(source)?, &built_in).compile(),
        None => Compiler::new(BUILT_IN, &built_in, &Written::default()).compile(),
    }
}

struct Compiler<'a> {
    /// The file that is compiled, as text.
    source: &'a str,
    file: &'a Written,
    /// What it extends and overrides.
    base: &'a Written,
    /// Providers by id, each with its bit and its domains.
    bits: HashMap<&'a str, u64>,
    problems: Vec<RuleProblem>,
}

impl<'a> Compiler<'a> {
    fn new(source: &'a str, file: &'a Written, base: &'a Written) -> Self {
        Self {
            source,
            file,
            base,
            bits: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn compile(mut self) -> Result<Rules, RulesError> {
        self.number_providers();
        self.check_rules();
        if !self.problems.is_empty() {
            return Err(self.failed());
        }
        let rules = match self.build() {
            Ok(rules) => rules,
            Err(error) => {
                self.problem(
                    0,
                    "rule",
                    format!("the phrases do not fit together: {error}"),
                );
                return Err(self.failed());
            }
        };
        self.try_examples(&rules);
        if self.problems.is_empty() {
            Ok(rules)
        } else {
            Err(self.failed())
        }
    }

    /// Gives every provider a bit; a provider of the base may get more domains.
    fn number_providers(&mut self) {
        for provider in self.base.providers.iter().chain(&self.file.providers) {
            let next = self.bits.len();
            if next < PROVIDER_LIMIT {
                self.bits.entry(provider.id.get_ref()).or_insert(1 << next);
            } else if !self.bits.contains_key(provider.id.get_ref().as_str()) {
                let message = format!("there may be {PROVIDER_LIMIT} providers; leave some out");
                self.problem(provider.id.span().start, "provider", message);
            }
        }
        for (number, provider) in self.file.providers.iter().enumerate() {
            for (index, host) in provider.hosts.iter().enumerate() {
                let key = format!("provider[{number}].hosts[{index}]");
                let name = host.get_ref();
                if name.is_empty() || name.contains(' ') || telling_words(name) != *name {
                    let message =
                        "is not a domain or mark in lower case; write for example \"example.com\"";
                    self.problem(host.span().start, key, message);
                }
            }
        }
    }

    fn check_rules(&mut self) {
        let known: HashSet<_> = self
            .base
            .rules
            .iter()
            .map(|rule| rule.id.get_ref())
            .collect();
        let mut seen = HashSet::new();
        for (number, rule) in self.file.rules.iter().enumerate() {
            let id = rule.id.get_ref();
            let place = rule.id.span().start;
            if !seen.insert(id) {
                self.problem(
                    place,
                    format!("rule[{number}].id"),
                    format!("there is another rule `{id}` in this file; choose another name"),
                );
            }
            if !rule.disabled {
                self.check_rule(number, rule);
            } else if !known.contains(id) {
                self.problem(
                    place,
                    format!("rule[{number}].id"),
                    format!("there is no built-in rule `{id}` to switch off"),
                );
            }
        }
    }

    fn check_rule(&mut self, number: usize, rule: &WrittenRule) {
        let place = rule.id.span().start;
        let key = |name: &str| format!("rule[{number}].{name}");
        if rule.cause.is_none() {
            self.problem(
                place,
                key("cause"),
                "is missing; say why the mail came back",
            );
        }
        if rule.any.is_empty() && rule.status.is_empty() && rule.reply.is_empty() {
            let message = "is missing; give phrases, or status or reply codes";
            self.problem(place, key("any"), message);
        }
        if rule.source.trim().is_empty() {
            self.problem(
                place,
                key("source"),
                "is missing; say where this is known from",
            );
        }
        if rule.examples.is_empty() {
            let message = "is missing; give a text that the rule must decide on";
            self.problem(place, key("examples"), message);
        }
        for (index, provider) in rule.provider.iter().enumerate() {
            if !self.bits.contains_key(provider.get_ref().as_str()) {
                let message = format!(
                    "there is no provider `{}`; add a [[provider]] with its hosts",
                    provider.get_ref()
                );
                let key = key(&format!("provider[{index}]"));
                self.problem(provider.span().start, key, message);
            }
        }
        for (index, phrase) in rule.any.iter().enumerate() {
            for piece in phrase.get_ref().split(GAP) {
                let plain = piece.strip_prefix(ADDRESS).unwrap_or(piece);
                if plain.is_empty() || telling_words(plain) != plain {
                    let message = format!(
                        "`{piece}` can match nothing; write lower case, single spaces, no address and no code"
                    );
                    let key = key(&format!("any[{index}]"));
                    self.problem(phrase.span().start, key, message);
                }
            }
        }
    }

    /// The rules in the order in which they are tried.
    fn in_order(&self) -> Vec<&'a WrittenRule> {
        let base_ids: HashSet<_> = self
            .base
            .rules
            .iter()
            .map(|rule| rule.id.get_ref())
            .collect();
        let by_id: HashMap<_, _> = self
            .file
            .rules
            .iter()
            .map(|rule| (rule.id.get_ref(), rule))
            .collect();
        let added = self
            .file
            .rules
            .iter()
            .filter(|rule| !base_ids.contains(rule.id.get_ref()));
        let replaced = self
            .base
            .rules
            .iter()
            .map(|rule| by_id.get(rule.id.get_ref()).copied().unwrap_or(rule));
        added
            .chain(replaced)
            .filter(|rule| !rule.disabled)
            .collect()
    }

    fn build(&self) -> Result<Rules, aho_corasick::BuildError> {
        let mut rules = Rules::default();
        let mut matcher = MatcherBuilder::default();
        for provider in self.base.providers.iter().chain(&self.file.providers) {
            let bit = self.bit(&provider.id);
            for host in &provider.hosts {
                matcher.host(host.get_ref(), bit);
                *rules.providers.entry(host.get_ref().clone()).or_default() |= bit;
            }
        }
        for written in self.in_order() {
            let Some(cause) = written.cause else {
                continue;
            };
            let number = rules.rules.len();
            if written.any.is_empty() {
                rules.without_words.push(number);
            }
            for phrase in &written.any {
                matcher.phrase(phrase.get_ref(), number);
            }
            rules.rules.push(Rule {
                id: written.id.get_ref().clone(),
                cause,
                permanence: written.permanence,
                source: written.source.clone(),
                providers: written
                    .provider
                    .iter()
                    .map(|id| self.bit(id))
                    .fold(0, |a, b| a | b),
                status: written.status.clone(),
                reply: written.reply.clone(),
            });
        }
        rules.matcher = matcher.build()?;
        Ok(rules)
    }

    fn bit(&self, id: &Spanned<String>) -> u64 {
        self.bits.get(id.get_ref().as_str()).copied().unwrap_or(0)
    }

    /// A rule that does not decide on its own example is worth nothing.
    fn try_examples(&mut self, rules: &Rules) {
        for (number, rule) in self.file.rules.iter().enumerate() {
            let id = rule.id.get_ref().as_str();
            let host = rule
                .provider
                .first()
                .and_then(|provider| self.host_of(provider));
            for (index, example) in rule.examples.iter().enumerate().filter(|_| !rule.disabled) {
                let text = example.get_ref();
                let by_pattern = || rule.status.first().map(|pattern| pattern.example());
                let decided = rules.decide(&Refusal {
                    status: status_in(text).or_else(by_pattern),
                    reply_code: reply_code_in(text).or_else(|| rule.reply.first().copied()),
                    text,
                    hosts: host.as_slice(),
                });
                let found = decided.as_ref().map(|decision| decision.rule.id.as_str());
                if found != Some(id) {
                    let told = match found {
                        Some(other) => format!("the rule `{other}` decides before it"),
                        None => "no rule finds anything in it".to_owned(),
                    };
                    self.problem(
                        example.span().start,
                        format!("rule[{number}].examples[{index}]"),
                        format!("`{id}` does not decide on its example `{text}`: {told}"),
                    );
                }
            }
        }
    }

    /// A domain of a provider.
    fn host_of(&self, id: &Spanned<String>) -> Option<&'a str> {
        let all = self.base.providers.iter().chain(&self.file.providers);
        let mut of_it = all.filter(|provider| provider.id.get_ref() == id.get_ref());
        let host = of_it.find_map(|provider| provider.hosts.first())?;
        Some(host.get_ref())
    }

    fn problem(&mut self, at: usize, key: impl Into<String>, message: impl Into<String>) {
        let problem = RuleProblem::at(self.source, at, key, message);
        self.problems.push(problem);
    }

    fn failed(mut self) -> RulesError {
        self.problems.sort();
        RulesError {
            problems: self.problems,
        }
    }
}
