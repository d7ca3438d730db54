//! A [`Heading`] is what the header of a returned message says of itself.

use crate::mail::Address;
use crate::mail::header::{Field, fields};
use crate::transaction::received::is_ours;

/// How much of a message is searched for its header, in octets.
const HEADER_LIMIT: usize = 64 * 1024;

/// Longest text that is kept of a field, in octets.
const TEXT_LIMIT: usize = 255;

/// Fields that tell where a message was sent to.
const DESTINATION_FIELDS: [&str; 4] = ["To", "Delivered-To", "X-Original-To", "Envelope-To"];

/// What the header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::gateway::returns) struct Heading {
    /// `From`.
    pub(in crate::gateway::returns) from: Option<String>,
    /// `Message-ID`.
    pub(in crate::gateway::returns) message_id: Option<String>,
    /// Whether a machine wrote it of its own accord (RFC 3834 §2), or it is a report of any kind.
    pub(in crate::gateway::returns) automatic: bool,
    /// Where it was sent to, as far as its header tells, in lower case.
    destinations: String,
    /// How many Received fields there are.
    pub(in crate::gateway::returns) hops: usize,
    /// How many of them were written by us.
    pub(in crate::gateway::returns) own_hops: usize,
}

impl Heading {
    /// Reads the header at the beginning of a message. `hostname` is ours.
    pub(in crate::gateway::returns) fn read(message: &[u8], hostname: &str) -> Self {
        let mut heading = Self::default();
        for field in fields(&message[..message.len().min(HEADER_LIMIT)]) {
            if field.is("Received") {
                heading.hops += 1;
                heading.own_hops += usize::from(is_ours(&field.text(), hostname));
            } else if field.is("From") {
                heading.from.get_or_insert_with(|| text(&field));
            } else if field.is("Message-ID") {
                heading.message_id.get_or_insert_with(|| text(&field));
            } else if DESTINATION_FIELDS.iter().any(|name| field.is(name)) {
                heading
                    .destinations
                    .push_str(&field.text().to_ascii_lowercase());
            } else if field.is("Auto-Submitted") {
                heading.automatic |= !starts(&field.text(), "no");
            } else if field.is("Content-Type") {
                heading.automatic |= starts(&field.text(), "multipart/report");
            }
        }
        heading
    }

    /// Whether it says that it was sent to this address.
    pub(in crate::gateway::returns) fn names(&self, address: &Address) -> bool {
        self.destinations.contains(address.as_str())
    }
}

fn text(field: &Field<'_>) -> String {
    let mut text = field.text();
    text.truncate(text.floor_char_boundary(TEXT_LIMIT));
    text
}

fn starts(value: &str, word: &str) -> bool {
    value
        .get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_wrote_it_and_how_far_it_came() {
        let message = b"Received: from a by gw.example (Sendgate) with SMTP id x; date\r\n\
            Received: from b by c; date\r\nFrom: Reader <b@example.net>\r\n\
            Message-ID:\r\n <1@example.net>\r\nAuto-Submitted: NO\r\n\r\nReceived: no\r\n";
        let heading = Heading::read(message, "gw.example");
        assert_eq!(heading.from.as_deref(), Some("Reader <b@example.net>"));
        assert_eq!(heading.message_id.as_deref(), Some("<1@example.net>"));
        assert_eq!((heading.hops, heading.own_hops), (2, 1));
        assert!(!heading.automatic);
        for field in [
            "Auto-Submitted: auto-generated",
            "Content-type: Multipart/Report; report-type=disposition-notification",
        ] {
            let message = format!("{field}\r\n\r\n");
            assert!(Heading::read(message.as_bytes(), "gw.example").automatic);
        }
        assert_eq!(Heading::read(b"", "x"), Heading::default());
    }
}
