//! What others say quotes our addresses; whoever reads it could use them. They are *hidden* (A5).

use std::borrow::Cow;

use super::TOKEN_LENGTH;

/// The text with three dots for each token in it, or for what could be one: letters of base32, as
/// many as a token has or more, since it may be glued to an escape such as `%3C`.
#[must_use]
pub fn hidden(text: &str) -> Cow<'_, str> {
    match hidden_octets(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(clean) => Cow::Owned(String::from_utf8_lossy(&clean).into_owned()),
    }
}

/// The same for what need not be UTF-8.
#[must_use]
pub fn hidden_octets(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() < TOKEN_LENGTH {
        return Cow::Borrowed(text);
    }
    let mut clean = Vec::new();
    let mut shown = 0;
    let mut run = 0;
    for (at, octet) in text.iter().chain(b" ").enumerate() {
        if is_base32(*octet) {
            run += 1;
            continue;
        }
        if run >= TOKEN_LENGTH {
            clean.extend_from_slice(&text[shown..at - run]);
            clean.extend_from_slice(b"...");
            shown = at;
        }
        run = 0;
    }
    if shown == 0 {
        return Cow::Borrowed(text);
    }
    clean.extend_from_slice(&text[shown..]);
    Cow::Owned(clean)
}

const fn is_base32(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_whatever_could_be_a_token_is_hidden() {
        let token = "abcdefghijklmnopqrstuvwxyz234567".repeat(2);
        let loud = token.to_uppercase();
        for (text, shown) in [
            (
                format!("550 <{token}@b.example> unknown"),
                "550 <...@b.example> unknown",
            ),
            (format!("{loud}: é {token}"), "...: é ..."),
            (format!("to=%3C{token}%40b"), "to=%...%40b"),
            (token.clone(), "..."),
            (token[1..].to_owned(), &token[1..]),
            (format!("{}89{}", &token[..40], &token[40..]), ""),
            ("user unknown".to_owned(), "user unknown"),
        ] {
            let expected = if shown.is_empty() { &text } else { shown };
            assert_eq!(hidden(&text), expected);
        }
    }
}
