//! The telling words of a text: lower case, single spaces, no addresses, no codes.

/// Octets of text that are looked at. What a server has to say stands at the beginning.
const TEXT_LIMIT: usize = 4096;

/// The text in lower case with single spaces, without addresses and codes.
///
/// Replies of several lines repeat the code in the middle of a sentence, and an address may
/// contain anything, words of another rule for instance.
pub(super) fn telling_words(text: &str) -> String {
    let mut cut = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut words = String::with_capacity(cut);
    for word in text[..cut].split_whitespace() {
        let word = without_code(word);
        if word.is_empty() || word.contains('@') {
            continue;
        }
        if !words.is_empty() {
            words.push(' ');
        }
        if word.is_ascii() && !word.contains('`') {
            words.extend(word.bytes().map(|b| char::from(b.to_ascii_lowercase())));
        } else {
            push_lower(&mut words, word);
        }
    }
    words
}

/// Adds a word beyond ASCII, or one with quotes that stand for an apostrophe.
fn push_lower(words: &mut String, word: &str) {
    for letter in word.chars() {
        match letter {
            '’' | '`' => words.push('\''),
            _ => words.extend(letter.to_lowercase()),
        }
    }
}

/// A word without a reply code in front of it; nothing if it is made of digits and marks alone.
fn without_code(word: &str) -> &str {
    if word
        .bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_alphabetic())
    {
        return "";
    }
    match word.as_bytes() {
        [b'2' | b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b'-', ..] => &word[4..],
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_addresses_are_no_words() {
        assert_eq!(
            telling_words("550-5.1.1 The account <spam@x.example> does\r\n 550-5.1.1 NOT  exist."),
            "the account does not exist."
        );
        assert_eq!(telling_words("550-Invalid recipient"), "invalid recipient");
        assert_eq!(telling_words("ÄRGER doesn’t"), "ärger doesn't");
    }

    #[test]
    fn what_lies_beyond_the_limit_is_not_looked_at() {
        let text = "ä".repeat(TEXT_LIMIT);
        assert_eq!(telling_words(&text).len(), TEXT_LIMIT);
    }
}
