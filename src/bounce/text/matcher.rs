//! Finds [`Phrase`]s in a text, in one walk.

use std::sync::OnceLock;

use super::phrases::{PHRASES, Phrase, Role};

/// A phrase in a text, with its place in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) role: Role,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The longest phrase that begins at a place of a text in lower case.
pub(super) fn phrase_at(text: &[u8], start: usize) -> Option<Match> {
    let &octet = text.get(start)?;
    let second = text.get(start + 1).copied().unwrap_or_default();
    let mut longest: Option<Match> = None;
    for phrase in sorted().starting_with(octet, second) {
        let Some(end) = end_of(phrase.words, text, start) else {
            continue;
        };
        if longest.is_none_or(|found| found.end < end) {
            longest = Some(Match {
                role: phrase.role,
                start,
                end,
            });
        }
    }
    longest
}

/// Where the words end if they stand at that place.
pub(super) fn end_of(words: &str, text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for &octet in words.as_bytes() {
        if octet == b' ' {
            at += length_of_gap(text.get(at..)?)?;
        } else if text.get(at) == Some(&octet) {
            at += 1;
        } else {
            return None;
        }
    }
    let cuts_a_word = words.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (!cuts_a_word).then_some(at)
}

/// Octets of the white space between two words of a phrase. An empty line is none: it parts what is said.
fn length_of_gap(text: &[u8]) -> Option<usize> {
    let mut lines = 0;
    let mut length = 0;
    for octet in text.iter().take_while(|b| b.is_ascii_whitespace()) {
        lines += usize::from(*octet == b'\n');
        length += 1;
        if lines > 1 {
            return None;
        }
    }
    (length > 0).then_some(length)
}

/// The phrases by their first two octets.
struct Sorted {
    phrases: Vec<Phrase>,
    /// Where the phrases with this first octet begin and end.
    ranges: Vec<(usize, usize)>,
}

impl Sorted {
    fn starting_with(&self, first: u8, second: u8) -> impl Iterator<Item = &Phrase> {
        let (start, end) = self.ranges[usize::from(first)];
        let found = self.phrases.get(start..end).unwrap_or_default();
        found
            .iter()
            .filter(move |phrase| phrase.words.as_bytes().get(1) == Some(&second))
    }
}

fn sorted() -> &'static Sorted {
    static SORTED: OnceLock<Sorted> = OnceLock::new();
    SORTED.get_or_init(|| {
        let mut phrases = PHRASES.to_vec();
        phrases.sort_by_key(|phrase| phrase.words);
        let mut ranges = vec![(0, 0); 256];
        for (position, phrase) in phrases.iter().enumerate() {
            let first = phrase.words.as_bytes().first().copied().unwrap_or_default();
            let range = &mut ranges[usize::from(first)];
            if range.1 == 0 {
                range.0 = position;
            }
            range.1 = position + 1;
        }
        Sorted { phrases, ranges }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_may_be_broken_over_lines_but_not_cut() {
        let text = b"could not be\n  delivered to: x";
        assert_eq!(end_of("could not be delivered to", text, 0), Some(27));
        assert_eq!(end_of("could not be deliver", text, 0), None);
        assert_eq!(phrase_at(text, 0).map(|found| found.end), Some(27));
        assert_eq!(phrase_at(b"nothing", 0), None);
    }

    #[test]
    fn phrases_are_written_as_they_are_compared() {
        for phrase in PHRASES {
            assert_eq!(phrase.words.to_ascii_lowercase(), phrase.words);
            assert_eq!(phrase.words.trim(), phrase.words);
            assert!(phrase.words.len() > 2, "{}", phrase.words);
        }
    }
}
