//! The telling words of a text: lower case, single spaces, no addresses, no codes.
//!
//! What is said of an address is told again behind them, with `@` in the address's place: a server
//! that says `<a@example.com> does not exist` leaves out what it is that does not.

/// Octets of text that are looked at. What a server has to say stands at the beginning.
const TEXT_LIMIT: usize = 4096;

/// Stands for an address in what is said of it.
pub(super) const ADDRESS: &str = "@ ";

/// How many addresses are looked behind, and how many words are taken there.
const ADDRESS_LIMIT: usize = 4;
const WORD_LIMIT: usize = 5;

/// The text in lower case with single spaces, without addresses and codes.
///
/// Replies of several lines repeat the code in the middle of a sentence, and an address may
/// contain anything, words of another rule for instance.
pub(super) fn telling_words(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let word = without_code(word);
        if !word.is_empty() && !word.contains('@') {
            push(&mut words, word);
        }
    }
    words
}

/// What is said of the first addresses: each with the words that follow it, on a line of its own.
pub(super) fn said_of_addresses(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(TEXT_LIMIT)];
    let mut said = String::new();
    let mut addresses = 0;
    let mut left = 0;
    for word in text.split_whitespace() {
        let word = without_code(word);
        if word.contains('@') {
            addresses += 1;
            if addresses > ADDRESS_LIMIT {
                break;
            }
            said.push_str("\n@");
            left = WORD_LIMIT;
        } else if left > 0 && !word.is_empty() {
            push(&mut said, word);
            left -= 1;
        }
    }
    said
}

/// Adds a word behind a space.
fn push(words: &mut String, word: &str) {
    if !words.is_empty() {
        words.push(' ');
    }
    if word.is_ascii() && !word.contains('`') {
        words.extend(word.bytes().map(|b| char::from(b.to_ascii_lowercase())));
    } else {
        push_lower(words, word);
    }
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
    fn what_is_said_of_an_address_is_told_again() {
        assert_eq!(
            said_of_addresses("550 <a@x.example>... Does not exist; 550 b@y.example not found"),
            "\n@ does not exist;\n@ not found"
        );
        assert_eq!(said_of_addresses("550 no such user"), "");
    }

    #[test]
    fn what_lies_beyond_the_limit_is_not_looked_at() {
        let text = "ä".repeat(TEXT_LIMIT);
        assert_eq!(telling_words(&text).len(), TEXT_LIMIT);
    }
}
