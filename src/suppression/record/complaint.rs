//! A [`Complaint`] is what a recipient said of our mail: "this is spam", about one stream or several.
//!
//! Each is kept with its own time, so that taking one back leaves the others.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The complaints that reached us: the first, and those about something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// When it was received.
    pub at: Timestamp,
    /// The stream of the message complained about, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// When the same was said last, if it was said again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// What was complained about later, each stream once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Further>,
    /// Who told us.
    pub source: String,
}

/// A complaint about another stream than the first was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Further {
    /// When it was received; none in records of old, which kept the stream alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The stream, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// When the same was said last, if it was said again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Who told us; none in records of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A further complaint as it is kept, now and of old.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Stream(String),
    Full {
        #[serde(default)]
        at: Option<Timestamp>,
        #[serde(default)]
        stream: Option<String>,
        #[serde(default)]
        last: Option<Timestamp>,
        #[serde(default)]
        source: Option<String>,
    },
}

impl From<Stored> for Further {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Stream(stream) => Self {
                at: None,
                stream: Some(stream),
                last: None,
                source: None,
            },
            Stored::Full {
                at,
                stream,
                last,
                source,
            } => Self {
                at,
                stream,
                last,
                source,
            },
        }
    }
}

impl Complaint {
    /// The streams complained about, in the order in which they came; none is an unknown one.
    pub fn streams(&self) -> impl Iterator<Item = Option<&str>> {
        let further = self.also.iter().map(|also| also.stream.as_deref());
        std::iter::once(self.stream.as_deref()).chain(further)
    }

    /// Whether a complaint about this stream at this time stands, and was said again since then.
    pub(in crate::suppression) fn is_said_again(
        &self,
        stream: Option<&str>,
        of: Timestamp,
    ) -> bool {
        let is_it = |at: Option<Timestamp>, about: Option<&str>, last: Option<Timestamp>| {
            about == stream && at == Some(of) && last.is_some()
        };
        is_it(Some(self.at), self.stream.as_deref(), self.last)
            || self
                .also
                .iter()
                .any(|also| is_it(also.at, also.stream.as_deref(), also.last))
    }

    /// Whether this source said the same, or the same was said more than once.
    pub(in crate::suppression) fn is_told(&self, stream: Option<&str>, source: &str) -> bool {
        let is_it = |about: Option<&str>, by: Option<&str>, last: Option<Timestamp>| {
            about == stream && (last.is_some() || by == Some(source))
        };
        is_it(self.stream.as_deref(), Some(&self.source), self.last)
            || self
                .also
                .iter()
                .any(|also| is_it(also.stream.as_deref(), also.source.as_deref(), also.last))
    }

    /// Adds a complaint; whether it was about something new.
    pub(in crate::suppression) fn add(
        &mut self,
        stream: Option<&str>,
        at: Timestamp,
        source: &str,
    ) -> bool {
        let first = (self.stream.as_deref() == stream).then_some((Some(self.at), &mut self.last));
        let known = first.or_else(|| {
            self.also
                .iter_mut()
                .find(|also| also.stream.as_deref() == stream)
                .map(|also| (also.at, &mut also.last))
        });
        if let Some((since, last)) = known {
            if last.or(since).is_none_or(|newest| at > newest) {
                *last = Some(at);
            }
            return false;
        }
        self.also.push(Further {
            at: Some(at),
            stream: stream.map(str::to_owned),
            last: None,
            source: Some(source.to_owned()),
        });
        true
    }

    /// The complaints without the one about this stream at this time; `None` when there is no such
    /// one, or it was said again since then.
    pub(in crate::suppression) fn without(
        &self,
        stream: Option<&str>,
        of: Timestamp,
    ) -> Option<Option<Self>> {
        if self.at == of && self.stream.as_deref() == stream && self.last.is_none() {
            return Some(self.rest());
        }
        let place = self.also.iter().position(|also| {
            let is_then = also.at.is_none_or(|at| at == of);
            is_then && also.stream.as_deref() == stream && also.last.is_none()
        })?;
        let mut rest = self.clone();
        rest.also.remove(place);
        Some(Some(rest))
    }

    /// Those after the first.
    fn rest(&self) -> Option<Self> {
        let (first, also) = self.also.split_first()?;
        Some(Self {
            at: first.at.unwrap_or(self.at),
            stream: first.stream.clone(),
            last: first.last,
            also: also.to_vec(),
            source: first.source.clone().unwrap_or_else(|| self.source.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_of_old_can_be_read() {
        let old = r#"{"at":"2026-01-01T00:00:00.000Z","stream":"news","also":["offers"],
            "source":"mx.example.net"}"#;
        let complaint: Complaint = serde_json::from_str(old).unwrap();
        let streams = |complaint: &Complaint| -> Vec<_> {
            let named = complaint.streams().flatten();
            named.map(str::to_owned).collect()
        };
        assert_eq!(streams(&complaint), ["news", "offers"]);
        let kept = serde_json::to_string(&complaint).unwrap();
        assert_eq!(serde_json::from_str::<Complaint>(&kept).unwrap(), complaint);
        // Its time was not kept: the stream has to do.
        let at = Timestamp::from_millis(7);
        let left = complaint.without(Some("offers"), at).unwrap().unwrap();
        assert_eq!(streams(&left), ["news"]);
        assert_eq!(complaint.without(Some("news"), at), None);
    }
}
