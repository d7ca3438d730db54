//! Addresses as reports write them: with a type, in brackets, in xtext (RFC 3461) or its form for UTF-8 (RFC 6533).

use crate::bounce::field::split_type;

/// Longest address that is believed to be one, in octets. RFC 5321 allows 254; xtext needs more.
const ADDRESS_LIMIT: usize = 1000;

/// The address in `rfc822; User+2Btag@example.com` or `utf-8; us\x{E9}r@example.com`.
pub(super) fn address(value: &str) -> Option<String> {
    let (kind, text) = split_type(value);
    let bare = bare_address(text);
    let decoded = if kind.eq_ignore_ascii_case("utf-8") {
        from_utf8_xtext(bare)
    } else {
        from_xtext(bare)
    };
    let is_one = !decoded.is_empty() && !decoded.starts_with('@');
    (is_one && decoded.len() <= ADDRESS_LIMIT).then_some(decoded)
}

/// The address without brackets and without what follows it.
pub(in crate::bounce) fn bare_address(text: &str) -> &str {
    let text = text.trim();
    let text = match text.split_once('<') {
        Some((_, inner)) => inner.split('>').next().unwrap_or_default().trim(),
        None if text.starts_with('"') => text,
        None => {
            let word = text.split_whitespace().next().unwrap_or_default();
            word.trim_end_matches([';', ','])
        }
    };
    // A source route, RFC 5321 appendix C: only its last element is the address.
    match text.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => text,
    }
}

/// Undoes xtext (RFC 3461 §4) as far as it is certain.
///
/// RFC 3464 wants plain addresses here, but many servers copy ORCPT as it came. `+AB` may be a tag of the
/// address; only `+2B`, `+3D` and octets beyond ASCII have no other reason to be there.
fn from_xtext(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1..at + 3).and_then(hex_pair)) {
            (b'+', Some(octet)) if octet == b'+' || octet == b'=' || octet >= 0x80 => {
                decoded.push(octet);
                at += 3;
            }
            (octet, _) => {
                decoded.push(octet);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Two hexadecimal digits, upper case as RFC 3461 demands.
fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    }
}

/// Undoes the `\x{E9}` of RFC 6533 §3.
fn from_utf8_xtext(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\\x{") {
        decoded.push_str(&rest[..start]);
        let inner = &rest[start + 3..];
        let letter = inner.find('}').filter(|&end| end <= 6).and_then(|end| {
            let code = u32::from_str_radix(&inner[..end], 16).ok()?;
            let letter = char::from_u32(code).filter(|letter| !letter.is_control())?;
            Some((letter, &inner[end + 1..]))
        });
        match letter {
            Some((letter, after)) => {
                decoded.push(letter);
                rest = after;
            }
            None => {
                decoded.push_str("\\x{");
                rest = inner;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(address(value).as_deref(), expected, "{value}");
    }

    #[test]
    fn every_encoding_of_an_address_is_undone() {
        check("rfc822; a@example.com", Some("a@example.com"));
        check("RFC822;<a@example.com>", Some("a@example.com"));
        check("a@example.com", Some("a@example.com"));
        check("rfc822; a+2Bb@example.com", Some("a+b@example.com"));
        check("rfc822; a+AB@example.com", Some("a+AB@example.com"));
        check(
            "utf-8; j\u{f6}rg@example.com",
            Some("j\u{f6}rg@example.com"),
        );
        check(
            "utf-8; j\\x{F6}rg@example.com",
            Some("j\u{f6}rg@example.com"),
        );
        check("UTF-8; \\x{8C46}@example.com", Some("\u{8c46}@example.com"));
        check(
            "rfc822; j+C3+B6rg@example.com",
            Some("j\u{f6}rg@example.com"),
        );
        check("rfc822; @mx.example.com", None);
        check("rfc822;", None);
    }

    #[test]
    fn routes_and_comments_are_left_off() {
        check(
            "rfc822; <@a.example,@b.example:c@example.com>",
            Some("c@example.com"),
        );
        check("rfc822; c@example.com (gone)", Some("c@example.com"));
        check(
            "rfc822; \"john doe\"@example.com",
            Some("\"john doe\"@example.com"),
        );
    }
}
