//! A [`Label`] is what the messages of one campaign have in common; a token carries only its tag.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a signed message was part of. The store keeps its text under the [tag](Self::tag).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The stream it was judged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The campaign its header named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The user that logged in, whose mailbox gets reports forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What an unsubscribe address takes off, in the form of [`crate::suppression::Scope`]; absent means everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Label {
    /// Whether it says nothing; then the tag is 0 and nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The text that is kept.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a text that was kept; what cannot be read says nothing.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The tag to try at this attempt: where another label has it already, the next attempt has another.
    #[must_use]
    pub fn tag(&self, attempt: u32) -> u32 {
        let digest = Sha256::new()
            .chain_update(attempt.to_be_bytes())
            .chain_update(self.text())
            .finalize();
        let tag = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        // 0 is "no label".
        tag.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_written_and_tags_differ() {
        let label = Label {
            campaign: Some("spring".into()),
            ..Label::default()
        };
        assert_eq!(Label::read(&label.text()), label);
        assert_eq!(Label::read("{\""), Label::default());
        assert!(Label::default().is_empty() && !label.is_empty());
        assert_eq!(label.tag(0), label.tag(0));
        assert_ne!(label.tag(0), label.tag(1));
        assert_ne!(label.tag(0), Label::default().tag(0));
    }
}
