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
use super::field::{Field, fields, first, parameter};

/// A message: its header and its parts in order, multiparts resolved.
pub(super) struct Message<'a> {
    header: String,
    /// Leaves in order. A message that is no multipart has exactly one.
    pub(super) parts: Vec<Part<'a>>,
}

/// One leaf.
pub(super) struct Part<'a> {
    content_type: String,
    encoding: String,
    body: &'a [u8],
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
    /// Cuts a message; nothing if its header does not end within the limit.
    pub(super) fn read(bytes: &'a [u8], limits: &Limits) -> Option<Self> {
        let (header, body) = split_header(bytes);
        if header.len() > limits.header_limit {
            return None;
        }
        let header = lossy(header);
        let mut parts = Vec::new();
        collect(
            Part::new(&header, body, "text/plain"),
            limits,
            0,
            &mut parts,
        );
        Some(Self { header, parts })
    }

    /// The fields of the header.
    pub(super) fn fields(&self) -> Vec<Field<'_>> {
        fields(&self.header).collect()
    }

    /// The first part of one of these types.
    pub(super) fn part(&self, types: &[&str]) -> Option<&Part<'a>> {
        self.parts
            .iter()
            .find(|part| types.iter().any(|wanted| part.is(wanted)))
    }

    /// What it says to a person: the first text part.
    pub(super) fn human_text(&self, limit: usize) -> String {
        self.part(&["text/plain"])
            .or_else(|| self.part(&["text/html"]))
            .map(|part| part.text(limit))
            .unwrap_or_default()
    }

    /// Message-ID of the message that was sent, from the header that came back with the report.
    pub(super) fn returned_message_id(&self, limits: &Limits) -> Option<String> {
        let header = self.returned_header(limits)?;
        let found = fields(&header)
            .find(|field| field.name.eq_ignore_ascii_case("message-id"))
            .map(|field| field.value.trim_matches(['<', '>']).to_owned());
        found.filter(|id| !id.is_empty())
    }

    /// The header of the message that was sent, if it came back.
    pub(super) fn returned_header(&self, limits: &Limits) -> Option<String> {
        let part = self.part(&[
            "message/rfc822",
            "message/global",
            "text/rfc822-headers",
            "message/global-headers",
            "message/rfc822-headers",
        ])?;
        let bytes = part.content(limits.size_limit);
        let start = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let (header, _) = split_header(&bytes[start..]);
        Some(lossy(&header[..header.len().min(limits.header_limit)]))
    }
}

impl<'a> Part<'a> {
    /// `default_type` is what a part without Content-Type is.
    fn new(header: &str, body: &'a [u8], default_type: &str) -> Self {
        let fields: Vec<_> = fields(header).collect();
        let content_type = first(&fields, "content-type").unwrap_or(default_type);
        let encoding = first(&fields, "content-transfer-encoding").unwrap_or_default();
        Self {
            content_type: content_type.to_owned(),
            encoding: encoding.to_ascii_lowercase(),
            body,
        }
    }

    /// Whether it is of that type, written in lower case.
    pub(super) fn is(&self, wanted: &str) -> bool {
        // A forgotten semicolon is seen: `text/plain charset="us-ascii"`.
        let end = self
            .content_type
            .find([';', ' ', '\t'])
            .unwrap_or(self.content_type.len());
        self.content_type[..end].eq_ignore_ascii_case(wanted)
    }

    /// Whether it is a message of its own, or the header of one.
    pub(super) fn is_message(&self) -> bool {
        self.content_type
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("message/"))
    }

    /// The content without its transfer encoding, at most `limit` octets of the encoded form.
    pub(super) fn content(&self, limit: usize) -> Cow<'a, [u8]> {
        let body = &self.body[..self.body.len().min(limit)];
        let decoded = match self.encoding.as_str() {
            "base64" => base64_decode(body),
            "quoted-printable" => quoted_printable_decode(body),
            _ => None,
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
            _ => lossy(&content),
        }
    }
}

/// Resolves multiparts into their leaves.
fn collect<'a>(part: Part<'a>, limits: &Limits, depth: usize, leaves: &mut Vec<Part<'a>>) {
    if leaves.len() >= limits.part_limit {
        return;
    }
    let content_type = part.content_type.clone();
    let is_multipart = content_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    let boundary = parameter(&content_type, "boundary").filter(|boundary| !boundary.is_empty());
    match boundary {
        Some(boundary) if is_multipart && depth < limits.depth_limit => {
            let is_digest = content_type
                .get(10..16)
                .is_some_and(|subtype| subtype.eq_ignore_ascii_case("digest"));
            let default_type = if is_digest {
                "message/rfc822"
            } else {
                "text/plain"
            };
            let room = limits.part_limit - leaves.len();
            for piece in pieces(part.body, boundary).into_iter().take(room) {
                let (header, body) = split_header(piece);
                if header.len() <= limits.header_limit {
                    let inner = Part::new(&lossy(header), body, default_type);
                    collect(inner, limits, depth + 1, leaves);
                }
            }
        }
        _ => leaves.push(part),
    }
}

/// What stands between the boundary lines. The last one may be missing: then the text ends the part.
fn pieces<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mut delimiter = b"--".to_vec();
    delimiter.extend_from_slice(boundary.as_bytes());
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
        if is_last {
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
            return (&bytes[..start], &bytes[start..]);
        }
    }
    (bytes, &[])
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
            .map(|part| part.content_type)
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
