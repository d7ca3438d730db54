//! A [`Scope`] is what an opt-out covers: everything, one list, one topic or one stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name of a list, topic or stream, in octets.
pub const NAME_LIMIT: usize = 255;

/// What an opt-out or an opt-in covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `*`: all mail that honours opt-outs.
    All,
    /// `list:<List-Id>`: one mailing list, by the identifier in its List-Id field (RFC 2919).
    List(String),
    /// `topic:<name>`: one topic, as a message names it in `X-Sendgate-Topic`.
    Topic(String),
    /// `stream:<name>`: one configured stream.
    Stream(String),
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is '*', 'list:NAME', 'topic:NAME' or 'stream:NAME'")]
pub struct ScopeError;

impl Scope {
    /// The scope of the list with this identifier; case does not count (RFC 2919 §6).
    ///
    /// # Errors
    /// When the identifier is empty, too long or holds spaces or control characters.
    pub fn list(identifier: &str) -> Result<Self, ScopeError> {
        name(identifier).map(Self::List)
    }

    /// The scope of this topic; case does not count.
    ///
    /// # Errors
    /// When the name is empty, too long or holds spaces or control characters.
    pub fn topic(topic: &str) -> Result<Self, ScopeError> {
        name(topic).map(Self::Topic)
    }

    /// The scope of this stream; case does not count.
    ///
    /// # Errors
    /// When the name is empty, too long or holds spaces or control characters.
    pub fn stream(stream: &str) -> Result<Self, ScopeError> {
        name(stream).map(Self::Stream)
    }
}

fn name(text: &str) -> Result<String, ScopeError> {
    let text = text.trim();
    let bad = |c: char| c.is_control() || c.is_whitespace();
    if text.is_empty() || text.len() > NAME_LIMIT || text.contains(bad) {
        return Err(ScopeError);
    }
    Ok(text.to_lowercase())
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::List(name) => write!(f, "list:{name}"),
            Self::Topic(name) => write!(f, "topic:{name}"),
            Self::Stream(name) => write!(f, "stream:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.split_once(':') {
            Some(("list", name)) => Self::list(name),
            Some(("topic", name)) => Self::topic(name),
            Some(("stream", name)) => Self::stream(name),
            _ => Err(ScopeError),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "*",
            "list:news.example.com",
            "topic:offers",
            "stream:receipts",
        ] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert_eq!(
            "list:News.Example.com".parse(),
            Ok(Scope::List("news.example.com".into()))
        );
        for text in ["", "all", "list:", "list:a b", "topic:\u{7}", "other:x"] {
            assert_eq!(text.parse::<Scope>(), Err(ScopeError), "{text}");
        }
    }
}
