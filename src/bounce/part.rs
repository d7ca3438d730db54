//! A [`Message`] is a message cut into its parts, as far as a report needs it.
//!
//! Written here rather than taken from a MIME library because this must be linear and shallow on
//! hostile input: nested messages are never opened, and nesting of multiparts is bounded (B7).

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use memchr::{memchr, memmem, memrchr2};

use super::Limits;
use super::field::{Field, fields, first, in_clear, parameter};

/// Types of the part in which the header of the message that was sent comes back.
const RETURNED: [&str; 6] = [
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "text/rfc822-header",
    "message/global-headers",
    "message/rfc822-headers",
];

/// Octets of a line that may be a boundary. RFC 2046 §5.1.1 allows 70.
const BOUNDARY_LIMIT: usize = 200;

/// Octets in front of the first boundary that say nothing: "This is a MIME-encapsulated message."
const PREAMBLE_LIMIT: usize = 200;

/// A message: its header and its parts in order, multiparts resolved.
pub(super) struct Message<'a> {
    fields: Vec<Field<'a>>,
    /// Leaves in order. A message that is no multipart has exactly one.
    pub(super) parts: Vec<Part<'a>>,
}

/// One leaf.
pub(super) struct Part<'a> {
    content_type: Cow<'a, str>,
    encoding: Encoding,
    body: &'a [u8],
}

/// How the content was made fit for the way.
#[derive(Clone, Copy)]
enum Encoding {
    None,
    Base64,
    QuotedPrintable,
}

/// The lines that fit into the limit. Half a line could say something else: `5.1.10` is not `5.1.1`.
pub(super) fn whole_lines(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    let end = memrchr2(b'\n', b'\r', &bytes[..limit]).map_or(limit, |at| at + 1);
    &bytes[..end]
}

/// Octets with LF or CRLF as line end: a text that has CR alone gets LF.
pub(super) fn with_line_feeds(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', bytes).is_some() || memchr(b'\r', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let turned = bytes.iter().map(|&b| if b == b'\r' { b'\n' } else { b });
    Cow::Owned(turned.collect())
}

impl<'a> Message<'a> {
    /// Cuts a message; nothing if its header is long and does not end.
    pub(super) fn read(bytes: &'a [u8], limits: &Limits) -> Option<Self> {
        let (header, body) = split_header(bytes);
        if body.is_empty() && header.len() > limits.header_limit && !ends_with_empty_line(header) {
            return None;
        }
        let fields: Vec<_> = fields(header, limits.header_limit).collect();
        let whole = Part {
            content_type: first(&fields, "content-type")
                .map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_owned())),
            encoding: Encoding::of(first(&fields, "content-transfer-encoding")),
            body,
        };
        let mut parts = Vec::new();
        collect(whole, limits, 0, &mut parts);
        Some(Self { fields, parts })
    }

    /// The fields of the header.
    pub(super) fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The value of the first field of that name; empty where there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        first(&self.fields, name).unwrap_or_default()
    }

    /// The subject in clear: encoded words (RFC 2047) are resolved.
    pub(super) fn subject(&self) -> Cow<'_, str> {
        in_clear(self.field("subject"))
    }

    /// The first part of one of these types.
    pub(super) fn part(&self, types: &[&str]) -> Option<&Part<'a>> {
        self.parts.iter().find(|part| part.is_any(types))
    }

    /// What it says to a person: the first text part.
    pub(super) fn human_text(&self, limit: usize) -> String {
        self.part(&["text/plain"])
            .or_else(|| self.part(&["text/html"]))
            .map(|part| part.text(limit))
            .unwrap_or_default()
    }

    /// The header of the message that was sent, if it came back.
    pub(super) fn returned_header(&self, limits: &Limits) -> Option<Cow<'a, [u8]>> {
        returned_header(&self.parts, limits)
    }

    /// The report within, where something on the way put all of it into a part and left its type outside.
    ///
    /// Somebody who passes a report on has a type of their own, and nested reports are not ours to read.
    pub(super) fn unwrapped(&self, limits: &Limits) -> Option<Self> {
        let content_type = self.field("content-type");
        let was_report = is_type(content_type, "multipart/mixed")
            && parameter(content_type, "report-type").is_some();
        // A disclaimer may follow; words of a person would stand in front.
        let whole = self.parts.first().filter(|part| part.is("message/rfc822"));
        Self::read(whole.filter(|_| was_report)?.body, limits)
    }
}

/// The header of the first of these parts that is a returned message or its header.
pub(super) fn returned_header<'a>(parts: &[Part<'a>], limits: &Limits) -> Option<Cow<'a, [u8]>> {
    let part = parts.iter().find(|part| part.is_any(&RETURNED))?;
    Some(match part.content(limits.size_limit) {
        Cow::Borrowed(bytes) => Cow::Borrowed(split_header(bytes.trim_ascii_start()).0),
        Cow::Owned(bytes) => Cow::Owned(split_header(bytes.trim_ascii_start()).0.to_vec()),
    })
}

impl Encoding {
    fn of(field: Option<&str>) -> Self {
        match field {
            Some(name) if name.eq_ignore_ascii_case("base64") => Self::Base64,
            Some(name) if name.eq_ignore_ascii_case("quoted-printable") => Self::QuotedPrintable,
            _ => Self::None,
        }
    }
}

impl<'a> Part<'a> {
    /// `default_type` is what a part without Content-Type is.
    fn new(piece: &'a [u8], default_type: &'static str, limits: &Limits) -> Self {
        let (header, body) = split_header(piece);
        let mut part = Self {
            content_type: Cow::Borrowed(""),
            encoding: Encoding::None,
            body,
        };
        for field in fields(header, limits.header_limit) {
            if field.name.eq_ignore_ascii_case("content-type") && part.content_type.is_empty() {
                part.content_type = field.value;
            } else if field.name.eq_ignore_ascii_case("content-transfer-encoding") {
                part.encoding = Encoding::of(Some(&field.value));
            }
        }
        if part.content_type.is_empty() {
            part.content_type = Cow::Borrowed(default_type);
        }
        part
    }

    /// Whether it is of that type, written in lower case. Without any, it is plain text (RFC 2045 §5.2).
    pub(super) fn is(&self, wanted: &str) -> bool {
        if self.content_type.is_empty() {
            return wanted == "text/plain";
        }
        is_type(&self.content_type, wanted)
    }

    /// Whether it is of one of these types, written in lower case.
    pub(super) fn is_any(&self, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.is(wanted))
    }

    /// Whether it is a message of its own, its header, or the fields of a report.
    pub(super) fn is_message(&self) -> bool {
        self.is("text/rfc822-headers")
            || self
                .content_type
                .get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case("message/"))
    }

    /// The content without its transfer encoding, at most `limit` octets of the encoded form.
    pub(super) fn content(&self, limit: usize) -> Cow<'a, [u8]> {
        let body = whole_lines(self.body, limit);
        let decoded = match self.encoding {
            Encoding::Base64 => base64_decode(body),
            Encoding::QuotedPrintable => quoted_printable_decode(body),
            Encoding::None => None,
        };
        decoded.map_or(Cow::Borrowed(body), Cow::Owned)
    }

    /// The content as text, from its own character set.
    pub(super) fn text(&self, limit: usize) -> String {
        let content = self.content(limit);
        let decoder = parameter(&self.content_type, "charset")
            .filter(|name| !name.eq_ignore_ascii_case("utf-8"))
            .and_then(|name| charset_decoder(name.as_bytes()));
        match decoder {
            Some(decode) if !content.is_ascii() || content.contains(&0x1b) => decode(&content),
            _ => String::from_utf8_lossy(&content).into_owned(),
        }
    }
}

/// Whether a Content-Type is the wanted one, which is written in lower case.
fn is_type(content_type: &str, wanted: &str) -> bool {
    // A forgotten semicolon is seen: `text/plain charset="us-ascii"`.
    let end = content_type
        .find([';', ' ', '\t'])
        .unwrap_or(content_type.len());
    content_type[..end].eq_ignore_ascii_case(wanted)
}

/// Resolves multiparts into their leaves.
fn collect<'a>(part: Part<'a>, limits: &Limits, depth: usize, leaves: &mut Vec<Part<'a>>) {
    let room = limits.part_limit.saturating_sub(leaves.len());
    if room == 0 {
        return;
    }
    let pieces = if depth < limits.depth_limit {
        pieces_of(&part, depth, room)
    } else {
        Vec::new()
    };
    if pieces.is_empty() {
        leaves.push(part);
        return;
    }
    let default_type = if is_type(&part.content_type, "multipart/digest") {
        "message/rfc822"
    } else {
        "text/plain"
    };
    for piece in pieces {
        let inner = Part::new(piece, default_type, limits);
        collect(inner, limits, depth + 1, leaves);
    }
}

/// The pieces of a multipart, none if it is no multipart.
///
/// Some gateways rewrite the boundary in the header and not in the body, some lose the whole
/// Content-Type: then the body tells.
fn pieces_of<'a>(part: &Part<'a>, depth: usize, limit: usize) -> Vec<&'a [u8]> {
    let is_lost = depth == 0 && part.content_type.is_empty();
    let is_multipart = part
        .content_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    if !is_multipart && !is_lost {
        return Vec::new();
    }
    let named = parameter(&part.content_type, "boundary").filter(|named| !named.is_empty());
    let found = match named {
        Some(boundary) => pieces(part.body, boundary.as_bytes(), limit),
        None => Vec::new(),
    };
    if !found.is_empty() {
        return found;
    }
    boundary_in(part.body)
        // Behind words of its own, what has a boundary is the message that came back.
        .filter(|boundary| !is_lost || begins_with_boundary(part.body, boundary))
        .map(|boundary| pieces(part.body, boundary, limit))
        .unwrap_or_default()
}

/// The boundary that a body shows: a line that begins with two dashes, and a Content- field behind it.
fn boundary_in(body: &[u8]) -> Option<&[u8]> {
    memmem::find_iter(body, b"--").find_map(|start| {
        if start > 0 && body[start - 1] != b'\n' {
            return None;
        }
        let line = &body[start + 2..];
        let line = &line[..line.len().min(BOUNDARY_LIMIT + 2)];
        let end = memchr(b'\n', line)?;
        let next = body.get(start + 2 + end + 1..)?.get(..8)?;
        let boundary = line[..end].trim_ascii_end();
        let announces = next.eq_ignore_ascii_case(b"content-");
        (announces && (1..=BOUNDARY_LIMIT).contains(&boundary.len())).then_some(boundary)
    })
}

/// Whether nothing but the usual line on MIME stands in front of the first boundary.
fn begins_with_boundary(body: &[u8], boundary: &[u8]) -> bool {
    memmem::find(body, boundary).is_some_and(|start| {
        // The line ends must make no difference.
        let octets = body[..start].iter().filter(|&&b| b != b'\r');
        octets.count() < PREAMBLE_LIMIT
    })
}

/// What stands between the boundary lines. The last one may be missing: then the text ends the part.
fn pieces<'a>(body: &'a [u8], boundary: &[u8], limit: usize) -> Vec<&'a [u8]> {
    let delimiter = [b"--", boundary].concat();
    let mut pieces = Vec::new();
    let mut open = None;
    for position in memmem::find_iter(body, &delimiter) {
        if position > 0 && body[position - 1] != b'\n' {
            continue;
        }
        let behind = &body[position + delimiter.len()..];
        let is_last = behind.starts_with(b"--");
        // A longer boundary that begins with ours belongs to a part within.
        if !is_last && !behind.iter().next().is_none_or(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(start) = open.take() {
            // An empty part has its boundary lines one upon the other.
            pieces.push(&body[start..position.max(start)]);
        }
        if is_last || pieces.len() >= limit {
            return pieces;
        }
        open = memchr(b'\n', behind).map(|end| position + delimiter.len() + end + 1);
    }
    if let Some(start) = open {
        pieces.push(&body[start..]);
    }
    pieces
}

/// The header block and what follows the empty line.
fn split_header(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        let line = &bytes[start..start + length];
        start += length + 1;
        if line.is_empty() || line == b"\r" {
            return bytes.split_at(start);
        }
    }
    (bytes, &[])
}

fn ends_with_empty_line(header: &[u8]) -> bool {
    header.ends_with(b"\n\n") || header.ends_with(b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(message: &str) -> Vec<String> {
        let limits = Limits::default();
        let message = Message::read(message.as_bytes(), &limits).unwrap();
        message
            .parts
            .into_iter()
            .map(|part| part.content_type.into_owned())
            .collect()
    }

    #[test]
    fn parts_within_parts_come_out_in_order() {
        let message = "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\
            Content-Type: multipart/alternative; boundary=bb\n\n--bb\n\nplain\n--bb\n\
            Content-Type: text/html\n\n<p>\n--bb--\n--b\nContent-Type: message/rfc822\n\n\
            Content-Type: multipart/mixed; boundary=c\n\n--c\n\ninner\n--c--\n--b--\nrest";
        assert_eq!(
            types(message),
            ["text/plain", "text/html", "message/rfc822"]
        );
    }

    #[test]
    fn a_missing_last_boundary_ends_with_the_text() {
        let message =
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x\n\nhello";
        assert_eq!(types(message), ["text/x"]);
    }

    #[test]
    fn the_body_tells_the_boundary_that_the_header_lost() {
        let body = "words\n--x/y\n\nhello\n--x/y\nContent-Type: text/x\n\nhello\n--x/y--\n";
        let renamed = format!("Content-Type: multipart/report; boundary=other\n\n{body}");
        assert_eq!(types(&renamed), ["text/plain", "text/x"]);
        let lost = format!("Subject: x\n\n{body}");
        assert_eq!(types(&lost), ["text/plain", "text/x"]);
        let quoted = format!("Content-Type: text/plain\n\n{body}");
        assert_eq!(types(&quoted), ["text/plain"]);
    }

    #[test]
    fn a_subject_is_read_in_clear() {
        let message = "Subject: =?utf-8?q?Abwesenheits?= =?utf-8?q?notiz?=\n\n";
        let message = Message::read(message.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(message.subject(), "Abwesenheitsnotiz");
    }

    #[test]
    fn encodings_and_character_sets_are_resolved() {
        let message = "Content-Type: text/plain; charset=iso-8859-1\n\
            Content-Transfer-Encoding: quoted-printable\n\nPostf=E4cher";
        let limits = Limits::default();
        let message = Message::read(message.as_bytes(), &limits).unwrap();
        assert_eq!(message.human_text(100), "Postfächer");
    }

    #[test]
    fn a_limit_cuts_between_lines() {
        assert_eq!(whole_lines(b"a\r\n5.1.10", 8), b"a\r\n");
        assert_eq!(whole_lines(b"a\n5.1.1", 7), b"a\n5.1.1");
        assert_eq!(whole_lines(b"aaa", 2), b"aa");
    }

    #[test]
    fn carriage_returns_alone_are_line_ends() {
        assert_eq!(&*with_line_feeds(b"a\r\rb"), b"a\n\nb");
        assert_eq!(&*with_line_feeds(b"a\r\n\r\nb"), b"a\r\n\r\nb");
    }
}
