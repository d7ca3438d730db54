//! Labels are what a message's own header says about it: stream, campaign, topic, list.
//!
//! `X-Sendgate-*` fields are for us and are always stripped; `List-Id` is read and passed.

use bytes::Bytes;

use crate::mail::EnhancedStatus;
use crate::mail::header::fields;
use crate::smtp::Reply;
use crate::suppression::Scope;
use crate::suppression::policy::MessageScopes;

/// Longest label that is kept, in octets.
const LABEL_LIMIT: usize = 255;

/// What a header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// `X-Sendgate-Stream`.
    pub stream: Option<String>,
    /// `X-Sendgate-Campaign`.
    pub campaign: Option<String>,
    /// From `List-Id` and `X-Sendgate-Topic`.
    pub scopes: MessageScopes,
    /// `Message-ID`, with its brackets.
    pub message_id: Option<String>,
    /// How many Received fields there are.
    pub hops: usize,
    /// How many of them were written by us.
    pub own_hops: usize,
    /// Whether it has a List-Unsubscribe of its own.
    pub has_unsubscribe: bool,
    /// Whether it has control fields of ours, whose names we may not know.
    pub has_controls: bool,
    /// Whether it has a DKIM-Signature, which covers no field that is added behind it.
    pub is_signed: bool,
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A control field that stands there twice could be read in two ways.
    #[error("repeated {0}")]
    Repeated(&'static str),
    /// A control field that cannot be read.
    #[error("bad {0}")]
    Bad(&'static str),
}

impl LabelError {
    /// What the client hears.
    #[must_use]
    pub fn reply(self) -> Reply {
        Reply::new(554, EnhancedStatus::of(5, 6, 0), self.to_string())
    }
}

const STREAM: &str = "X-Sendgate-Stream";
const CAMPAIGN: &str = "X-Sendgate-Campaign";
const TOPIC: &str = "X-Sendgate-Topic";

/// Reads the labels of `header`. `hostname` is ours, to recognize our own Received fields.
///
/// # Errors
/// When one of our control fields is repeated or cannot be read.
pub fn read(header: &[u8], hostname: &str) -> Result<Labels, LabelError> {
    let mut labels = Labels::default();
    let mut topic = None;
    for field in fields(header) {
        // Most fields are none of these, and the first letter tells.
        if !matches!(
            field.name.first(),
            Some(b'D' | b'L' | b'M' | b'R' | b'X' | b'd' | b'l' | b'm' | b'r' | b'x')
        ) {
            continue;
        }
        labels.has_controls |= is_control(field.name);
        if field.is("Received") {
            labels.hops += 1;
            labels.own_hops += usize::from(super::received::is_ours(&field.text(), hostname));
        } else if field.is("Message-ID") {
            labels.message_id.get_or_insert_with(|| clip(field.text()));
        } else if field.is("List-Unsubscribe") {
            labels.has_unsubscribe = true;
        } else if field.is("DKIM-Signature") {
            labels.is_signed = true;
        } else if field.is("List-Id") {
            // A list's identifier is nobody's control field: what cannot be read names no scope.
            if labels.scopes.list.is_none() {
                labels.scopes.list = list_scope(&field.text());
            }
        } else if field.is(STREAM) {
            set(&mut labels.stream, field.text(), STREAM)?;
        } else if field.is(CAMPAIGN) {
            set(&mut labels.campaign, field.text(), CAMPAIGN)?;
        } else if field.is(TOPIC) {
            set(&mut topic, field.text(), TOPIC)?;
        }
    }
    if let Some(topic) = topic {
        let scope = Scope::topic(&topic).map_err(|_| LabelError::Bad(TOPIC))?;
        labels.scopes.topic = Some(scope);
    }
    Ok(labels)
}

/// Whether this is a field for us, which never goes upstream.
fn is_control(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"X-Sendgate-";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn set(label: &mut Option<String>, text: String, name: &'static str) -> Result<(), LabelError> {
    if text.is_empty() {
        return Err(LabelError::Bad(name));
    }
    match label.replace(clip(text)) {
        None => Ok(()),
        Some(_) => Err(LabelError::Repeated(name)),
    }
}

fn clip(mut text: String) -> String {
    if text.len() > LABEL_LIMIT {
        let mut end = LABEL_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// The scope in `"Description" <list-id>` (RFC 2919 §3); some senders leave out the brackets.
fn list_scope(text: &str) -> Option<Scope> {
    let identifier = match (text.rfind('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => &text[open + 1..close],
        _ => text,
    };
    Scope::list(identifier).ok()
}

/// A List-Unsubscribe field (RFC 2369 §3.2) that names a signed address.
///
/// The local part has letters and digits of base32 only and the domain is canonical, so nothing in it
/// can end the field or the line (U9).
#[must_use]
pub fn unsubscribe_field(local_part: &str, domain: &str) -> String {
    format!("List-Unsubscribe:\r\n\t<mailto:{local_part}@{domain}?subject=unsubscribe>\r\n")
}

/// The header without our control fields, as the pieces of it that stay.
#[must_use]
pub fn strip(header: &Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(2);
    let mut kept = 0;
    for field in fields(header) {
        if is_control(field.name) {
            if kept < field.start {
                pieces.push(header.slice(kept..field.start));
            }
            kept = field.end;
        }
    }
    if kept < header.len() {
        pieces.push(header.slice(kept..));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"Received: from a by gw.example (Sendgate) with ESMTP id x;\r\n\tdate\r\n\
        X-Sendgate-Stream: receipts\r\nSubject: x\r\nx-sendgate-campaign: spring\r\n sale\r\n\
        List-Id: News <News.Example.com>\r\nX-Sendgate-Topic: Offers\r\nMessage-ID: <1@example.com>\r\n";

    #[test]
    fn reads_what_the_message_says_about_itself() {
        let labels = read(HEADER, "gw.example").unwrap();
        assert_eq!(labels.stream.as_deref(), Some("receipts"));
        assert_eq!(labels.campaign.as_deref(), Some("spring sale"));
        assert_eq!(labels.scopes.list, Scope::list("news.example.com").ok());
        assert_eq!(labels.scopes.topic, Scope::topic("offers").ok());
        assert_eq!(labels.message_id.as_deref(), Some("<1@example.com>"));
        assert_eq!((labels.hops, labels.own_hops), (1, 1));
        assert!(labels.has_controls);
        let unknown = read(b"Subject: x\r\nx-sendgate-other: y\r\n", "gw").unwrap();
        assert!(unknown.has_controls);
        assert!(!read(b"X-Other: y\r\n", "gw").unwrap().has_controls);
    }

    #[test]
    fn r8_u10_whether_an_unsubscribe_field_may_be_added() {
        let read = |header: &[u8]| {
            let labels = read(header, "gw").unwrap();
            (labels.has_unsubscribe, labels.is_signed)
        };
        assert_eq!(read(HEADER), (false, false));
        assert_eq!(read(b"list-unsubscribe: <mailto:x@y>\r\n"), (true, false));
        assert_eq!(read(b"DKIM-SIGNATURE: v=1\r\n"), (false, true));
        assert_eq!(read(b"List-Unsubscribe-Post: x\r\n"), (false, false));
    }

    #[test]
    fn strips_our_fields_and_nothing_else() {
        let stripped = strip(&Bytes::from_static(HEADER)).concat();
        assert_eq!(
            String::from_utf8(stripped).unwrap(),
            "Received: from a by gw.example (Sendgate) with ESMTP id x;\r\n\tdate\r\nSubject: x\r\n\
             List-Id: News <News.Example.com>\r\nMessage-ID: <1@example.com>\r\n"
        );
        let plain = Bytes::from_static(b"Subject: x\r\n");
        assert_eq!(strip(&plain), [plain]);
        assert!(strip(&Bytes::from_static(b"X-Sendgate-Topic: x\r\n")).is_empty());
    }

    #[test]
    fn a_stuffed_dot_hides_no_field() {
        // The upstream takes the dot away, and what is left is our control field or the list's name.
        let hidden = b".X-Sendgate-Stream: receipts\r\n.List-Id: <news.example.com>\r\n";
        let labels = read(hidden, "gw").unwrap();
        assert_eq!(labels.stream.as_deref(), Some("receipts"));
        assert_eq!(labels.scopes.list, Scope::list("news.example.com").ok());
        let kept = strip(&Bytes::from_static(hidden)).concat();
        assert_eq!(kept, b".List-Id: <news.example.com>\r\n");
    }

    #[test]
    fn a_control_field_has_one_meaning_or_the_message_is_refused() {
        let twice = b"X-Sendgate-Stream: a\r\nX-Sendgate-Stream: b\r\n";
        assert_eq!(read(twice, "gw"), Err(LabelError::Repeated(STREAM)));
        assert_eq!(
            read(b"X-Sendgate-Topic: two words\r\n", "gw"),
            Err(LabelError::Bad(TOPIC))
        );
        assert_eq!(
            read(b"X-Sendgate-Campaign:\r\n", "gw"),
            Err(LabelError::Bad(CAMPAIGN))
        );
        assert!(
            read(b"List-Id: ???  bad id\r\n", "gw")
                .unwrap()
                .scopes
                .list
                .is_none()
        );
    }
}
