//! A [`Field`] is one header field, or one field of a report: a name and an unfolded value.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;

use memchr::memchr;

/// One field, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    /// Unfolded: single spaces where lines were broken, no spaces around. What is not UTF-8 is replaced.
    pub(super) value: Cow<'a, str>,
}

/// The fields of a block, in order. Lines that are none are skipped.
///
/// Of all values together `limit` octets are kept, and a single field gets at most half of what is
/// left: one endless line must not hide the field behind it.
pub(super) fn fields(block: &[u8], limit: usize) -> impl Iterator<Item = Field<'_>> {
    let mut rest = block;
    let mut room = limit;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (raw, after) = rest.split_at(end_of_field(rest));
            rest = after;
            let raw = whole_words(raw, room / 2);
            if let Some(field) = read(raw) {
                room -= raw.len();
                return Some(field);
            }
        }
        None
    })
}

/// The first field of that name, in any case.
pub(super) fn first<'a>(fields: &'a [Field<'_>], name: &str) -> Option<&'a str> {
    all(fields, name).next()
}

/// The fields of that name, in any case, that have a value.
pub(super) fn all<'a>(fields: &'a [Field<'_>], name: &str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name) && !field.value.is_empty())
        .map(|field| &*field.value)
}

/// The value with its encoded words (RFC 2047) resolved.
pub(super) fn in_clear(value: &str) -> Cow<'_, str> {
    if !value.contains("=?") {
        return Cow::Borrowed(value);
    }
    let line = format!("{value}\n");
    let clear = MessageStream::new(line.as_bytes()).parse_unstructured();
    match clear.as_text() {
        Some(text) => Cow::Owned(text.to_owned()),
        None => Cow::Borrowed(value),
    }
}

/// Splits `rfc822; a@example.com` into type and value; what has no type is all value.
pub(super) fn split_type(value: &str) -> (&str, &str) {
    match value.split_once(';') {
        Some((kind, rest)) if is_type(kind.trim()) => (kind.trim(), rest.trim()),
        _ => ("", value.trim()),
    }
}

fn is_type(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-/".contains(&b))
}

/// The value of a parameter, as `b` in `multipart/mixed; boundary="b"`.
pub(super) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = value;
    while let Some(semicolon) = rest.find(';') {
        rest = rest[semicolon + 1..].trim_start();
        let equals = rest.find(['=', ';'])?;
        let (key, after) = rest.split_at(equals);
        let Some(after) = after.strip_prefix('=') else {
            continue;
        };
        let (content, after) = parameter_value(after.trim_start());
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(content);
        }
        rest = after;
    }
    None
}

/// A quoted string or a token, and what follows it. Escapes do not occur where we look.
fn parameter_value(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"')
        && let Some(end) = quoted.find('"')
    {
        return (&quoted[..end], &quoted[end + 1..]);
    }
    let end = text.find(';').unwrap_or(text.len());
    (text[..end].trim(), &text[end..])
}

/// Where the field ends: behind the line that no folded line follows.
fn end_of_field(text: &[u8]) -> usize {
    let mut start = 0;
    while let Some(length) = memchr(b'\n', &text[start..]) {
        start += length + 1;
        if !matches!(text.get(start), Some(b' ' | b'\t')) {
            return start;
        }
    }
    text.len()
}

/// The field if it fits, else the words of it that fit: half an address would be another one.
fn whole_words(raw: &[u8], limit: usize) -> &[u8] {
    if raw.len() <= limit {
        return raw;
    }
    let end = raw[..limit].iter().rposition(u8::is_ascii_whitespace);
    &raw[..end.unwrap_or(0)]
}

fn read(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr(b':', raw)?;
    let name = raw[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let value = raw[colon + 1..].trim_ascii();
    let value = match String::from_utf8_lossy(value) {
        value if !value.contains('\n') => value,
        value => Cow::Owned(unfolded(&value)),
    };
    Some(Field {
        name: std::str::from_utf8(name).ok()?,
        value,
    })
}

fn unfolded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for line in value.split('\n').map(str::trim) {
        if !text.is_empty() && !line.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unfolded_and_repeats_kept() {
        let block = b"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550\r\n\trejected\r\n here\r\nnoise\r\nSTATUS : 5.2.2\n";
        let found: Vec<_> = fields(block, 1000).collect();
        assert_eq!(
            all(&found, "status").collect::<Vec<_>>(),
            ["5.1.1", "5.2.2"]
        );
        assert_eq!(
            first(&found, "diagnostic-code"),
            Some("smtp; 550 rejected here")
        );
        assert_eq!(first(&found, "noise"), None);
    }

    #[test]
    fn an_endless_field_is_cut_between_words_and_hides_nothing() {
        let block = format!(
            "X: {}\nTo: {}\nStatus: 5.1.1\n",
            "a".repeat(5000),
            "a@example.com ".repeat(500)
        );
        let found: Vec<_> = fields(block.as_bytes(), 1000).collect();
        assert_eq!(first(&found, "x"), None);
        let to = first(&found, "to").unwrap();
        assert!(to.len() < 500 && to.ends_with("a@example.com"), "{to}");
        assert_eq!(first(&found, "status"), Some("5.1.1"));
    }

    #[test]
    fn parameters_in_any_order_and_quoted() {
        let value = "multipart/report; Report-Type=delivery-status ;\tBOUNDARY=\"a;b=c\"; x";
        assert_eq!(parameter(value, "report-type"), Some("delivery-status"));
        assert_eq!(parameter(value, "boundary"), Some("a;b=c"));
        assert_eq!(parameter(value, "b"), None);
        assert_eq!(parameter("text/plain; charset", "charset"), None);
        assert_eq!(parameter("x; boundary=\"open", "boundary"), Some("\"open"));
    }

    #[test]
    fn types_are_split_off() {
        assert_eq!(split_type("rfc822;a@x"), ("rfc822", "a@x"));
        assert_eq!(split_type("a@x"), ("", "a@x"));
        assert_eq!(
            split_type("smtp; 550 no; really"),
            ("smtp", "550 no; really")
        );
    }
}
