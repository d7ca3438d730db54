//! Encoded words (RFC 2047): letters beyond ASCII in a header field.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

/// The value with its encoded words read. What cannot be read stays as it is.
pub(super) fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains("=?") {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let between = &rest[..start];
        match word(&rest[start..]) {
            Some((letters, length)) => {
                // RFC 2047 §6.2: white space between two encoded words is not shown.
                if !(after_word && between.trim().is_empty()) {
                    text.push_str(between);
                }
                text.push_str(&letters);
                rest = &rest[start + length..];
                after_word = true;
            }
            None => {
                text.push_str(&rest[..start + 2]);
                rest = &rest[start + 2..];
                after_word = false;
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The encoded word at the beginning, and its length in octets.
fn word(text: &str) -> Option<(String, usize)> {
    let (charset, rest) = text.get(2..)?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (encoded, after) = rest.split_once("?=")?;
    if charset.len() > 40 || encoded.contains(char::is_whitespace) {
        return None;
    }
    let octets = match encoding {
        "B" | "b" => base64_decode(encoded.as_bytes())?,
        "Q" | "q" => quoted_printable_decode(encoded.replace('_', " ").as_bytes())?,
        _ => return None,
    };
    let charset = charset.split('*').next().unwrap_or_default();
    let letters = match charset_decoder(charset.as_bytes()) {
        Some(decode) if !charset.eq_ignore_ascii_case("utf-8") => decode(&octets),
        _ => String::from_utf8_lossy(&octets).into_owned(),
    };
    Some((letters, text.len() - after.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_the_rest_left() {
        for (value, read) in [
            ("plain", "plain"),
            ("=?utf-8?q?Zustellung_gest=C3=B6rt?=", "Zustellung gestört"),
            ("a =?UTF-8?B?w7Y=?= =?iso-8859-1*de?Q?=FC?= b", "a öü b"),
            ("=?utf-8?x?a?= =?broken", "=?utf-8?x?a?= =?broken"),
        ] {
            assert_eq!(decoded(value), read, "{value}");
        }
    }
}
