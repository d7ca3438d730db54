//! How rules are written: TOML with `[[provider]]` and `[[rule]]`. Errors name the line and the key.

use std::fmt;

use serde::Deserialize;
use serde_spanned::Spanned;

use super::pattern::StatusPattern;
use crate::bounce::cause::{Cause, Permanence};

/// A file of rules as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default, rename = "provider")]
    pub(super) providers: Vec<WrittenProvider>,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<WrittenRule>,
}

/// Somebody who runs mail servers with words and codes of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenProvider {
    pub(super) id: Spanned<String>,
    /// Domains in lower case: hosts in them, and mailboxes, are the provider's. Also words that only it says.
    pub(super) hosts: Vec<Spanned<String>>,
}

/// One rule as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRule {
    pub(super) id: Spanned<String>,
    /// Switches a built-in rule off.
    #[serde(default)]
    pub(super) disabled: bool,
    pub(super) cause: Option<Cause>,
    pub(super) permanence: Option<Permanence>,
    /// Providers with which alone it holds; empty means all.
    #[serde(default)]
    pub(super) provider: Vec<Spanned<String>>,
    /// Status codes with which alone it holds; empty means all.
    #[serde(default)]
    pub(super) status: Vec<StatusPattern>,
    /// Reply codes with which alone it holds; empty means all.
    #[serde(default)]
    pub(super) reply: Vec<u16>,
    /// Phrases, one of which must occur; empty means that the codes suffice.
    #[serde(default)]
    pub(super) any: Vec<Spanned<String>>,
    /// Where it is known from.
    #[serde(default)]
    pub(super) source: String,
    /// Texts it must decide on.
    #[serde(default)]
    pub(super) examples: Vec<Spanned<String>>,
}

/// Everything that is wrong with a file of rules; prints one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesError {
    /// In the order of the file; never empty.
    pub problems: Vec<RuleProblem>,
}

/// One thing that is wrong. Prints as `12:1: rule[0].any: …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleProblem {
    /// From 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// As in `rule[3].examples[0]`; empty where no key can be named.
    pub key: String,
    /// What is wrong, then what to do.
    pub message: String,
}

impl Written {
    /// Reads a file.
    ///
    /// # Errors
    /// What the reader of TOML found first.
    pub(super) fn read(source: &str) -> Result<Self, RulesError> {
        toml::from_str(source).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let problem = RuleProblem::at(source, at, "", error.message());
            RulesError {
                problems: vec![problem],
            }
        })
    }
}

impl RuleProblem {
    /// A problem at an octet of the file.
    pub(super) fn at(
        source: &str,
        offset: usize,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let before = source.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: key.into(),
            message: message.into(),
        }
    }
}

impl std::error::Error for RulesError {}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
