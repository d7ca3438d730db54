//! A [`Rule`] names the cause that certain words give away. The rules are data: `config/bounce-rules.toml`.

use std::sync::OnceLock;

use memchr::memmem;
use serde::Deserialize;

use super::cause::Cause;
use crate::mail::EnhancedStatus;

/// Octets of text that are looked at. What a server has to say stands at the beginning.
const TEXT_LIMIT: usize = 4096;

/// How far the pieces of a phrase may stand apart, in octets.
const GAP_LIMIT: usize = 120;

/// The rules, built in so that every gateway decides alike.
const RULES: &str = include_str!("../../config/bounce-rules.toml");

/// Words, and what they give away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// Its stable name.
    pub(super) id: String,
    /// What it gives away.
    pub(super) cause: Cause,
    /// Phrases in lower case, one of which must occur. ` * ` stands for a few words in between.
    any: Vec<String>,
    /// Status codes with which alone it holds; empty means all.
    #[serde(default)]
    status: Vec<EnhancedStatus>,
    /// Texts it must catch, for the test.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test of the rules"))]
    examples: Vec<String>,
}

/// The first rule, in the order of the file, that has a phrase in the text.
pub(super) fn find(text: &str, status: Option<EnhancedStatus>) -> Option<&'static Rule> {
    static COMPILED: OnceLock<Rules> = OnceLock::new();
    COMPILED
        .get_or_init(|| Rules::compile(RULES).unwrap_or_default())
        .find(text, status)
}

/// Rules with their phrases sorted by the first octet, so that a text is walked through once.
struct Rules {
    rules: Vec<Rule>,
    by_first_octet: Vec<Vec<Phrase>>,
}

struct Phrase {
    start: Box<[u8]>,
    /// What must follow, in this order and near.
    pieces: Vec<Box<[u8]>>,
    rule: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            by_first_octet: (0..256).map(|_| Vec::new()).collect(),
        }
    }
}

impl Rules {
    fn compile(source: &str) -> Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            rule: Vec<Rule>,
        }
        let file: File = toml::from_str(source)?;
        let mut compiled = Self::default();
        for (rule, entry) in file.rule.iter().enumerate() {
            for phrase in &entry.any {
                let mut pieces = phrase.split(" * ").map(|piece| piece.as_bytes().into());
                let start: Box<[u8]> = pieces.next().unwrap_or_default();
                let Some(&first) = start.first() else {
                    continue;
                };
                compiled.by_first_octet[usize::from(first)].push(Phrase {
                    start,
                    pieces: pieces.collect(),
                    rule,
                });
            }
        }
        compiled.rules = file.rule;
        Ok(compiled)
    }

    fn find(&self, text: &str, status: Option<EnhancedStatus>) -> Option<&Rule> {
        let text = telling_words(text);
        let text = text.as_bytes();
        let mut best = self.rules.len();
        let mut previous = b' ';
        for (position, &octet) in text.iter().enumerate() {
            // A phrase begins where a word begins. Scripts without spaces have no such place.
            let begins = !previous.is_ascii_alphanumeric() || !octet.is_ascii();
            previous = octet;
            if !begins {
                continue;
            }
            for phrase in &self.by_first_octet[usize::from(octet)] {
                if phrase.rule < best
                    && self.holds(phrase.rule, status)
                    && phrase.is_at(&text[position..])
                {
                    best = phrase.rule;
                }
            }
        }
        self.rules.get(best)
    }

    fn holds(&self, rule: usize, status: Option<EnhancedStatus>) -> bool {
        let wanted = &self.rules[rule].status;
        wanted.is_empty() || status.is_some_and(|status| wanted.contains(&status))
    }
}

impl Phrase {
    fn is_at(&self, text: &[u8]) -> bool {
        let Some(mut rest) = text.strip_prefix(&*self.start) else {
            return false;
        };
        for piece in &self.pieces {
            let near = &rest[..rest.len().min(GAP_LIMIT + piece.len())];
            let Some(position) = memmem::find(near, piece) else {
                return false;
            };
            rest = &rest[position + piece.len()..];
        }
        true
    }
}

/// The text in lower case with single spaces, without addresses and codes.
///
/// Replies of several lines repeat the code in the middle of a sentence, and an address may
/// contain anything, words of another rule for instance.
fn telling_words(text: &str) -> String {
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
        for letter in word.chars() {
            match letter {
                '’' | '`' => words.push('\''),
                _ if letter.is_ascii() => words.push(letter.to_ascii_lowercase()),
                _ => words.extend(letter.to_lowercase()),
            }
        }
    }
    words
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_rule_is_readable_and_catches_its_examples() {
        let compiled = Rules::compile(RULES).unwrap();
        let mut ids = HashSet::new();
        for rule in &compiled.rules {
            assert!(ids.insert(&rule.id), "{} is there twice", rule.id);
            assert!(!rule.examples.is_empty(), "{} has no example", rule.id);
            for phrase in &rule.any {
                for piece in phrase.split(" * ") {
                    assert_eq!(piece, telling_words(piece), "{}: cannot match", rule.id);
                }
            }
            for example in &rule.examples {
                let found = compiled.find(example, rule.status.first().copied());
                assert_eq!(
                    found.map(|rule| rule.id.as_str()),
                    Some(rule.id.as_str()),
                    "{example}"
                );
            }
        }
    }

    #[test]
    fn every_rule_states_its_source() {
        let blocks = RULES.split("[[rule]]");
        for (number, (before, block)) in blocks.clone().zip(blocks.skip(1)).enumerate() {
            let comment = before.trim_end().rsplit("\n\n").next().unwrap_or_default();
            assert!(comment.starts_with("# "), "rule {number} before {block}");
        }
    }

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
    fn a_phrase_begins_with_a_word_and_its_pieces_stand_near() {
        assert!(find("delivery was successfull", None).is_none());
        let near = "mailbox of somebody is full";
        let far = format!("mailbox {} is full", "x ".repeat(200));
        assert!(find(near, None).is_some());
        assert!(find(&far, None).is_none());
    }
}
