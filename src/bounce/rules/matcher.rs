//! A [`Matcher`] finds every phrase of every rule, and every provider named, in one pass over the text.

use aho_corasick::{AhoCorasick, BuildError};
use memchr::memmem;

/// How far the pieces of a phrase may stand apart, in octets.
const GAP_LIMIT: usize = 120;

/// How often the rest of a phrase is looked for in one text. An honest one needs some dozens; a
/// hostile one that repeats the beginnings would cost a hundred times as much.
const GAP_TRIES: usize = 500;

/// What stands between the pieces of a phrase: a few words.
pub(super) const GAP: &str = " * ";

/// Collects the patterns.
#[derive(Default)]
pub(super) struct MatcherBuilder {
    starts: Vec<String>,
    meanings: Vec<Meaning>,
}

/// All phrases and host names in one automaton.
#[derive(Default)]
pub(super) struct Matcher {
    /// None without patterns.
    automaton: Option<AhoCorasick>,
    meanings: Box<[Meaning]>,
}

/// What it means that a pattern was found.
enum Meaning {
    /// The beginning of a phrase of a rule, with the pieces that must follow in this order and near.
    Phrase { rule: usize, rest: Vec<Box<[u8]>> },
    /// The end of the name of a provider's host.
    Host { providers: u64 },
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rules with a phrase in the text, and where it begins and ends.
    pub(super) phrases: Vec<(usize, usize, usize)>,
    /// The providers whose hosts are named, a bit each.
    pub(super) providers: u64,
}

impl MatcherBuilder {
    /// Adds a phrase, which is not empty.
    pub(super) fn phrase(&mut self, phrase: &str, rule: usize) {
        let mut pieces = phrase.split(GAP);
        self.starts
            .push(pieces.next().unwrap_or_default().to_owned());
        let rest = pieces.map(|piece| piece.as_bytes().into()).collect();
        self.meanings.push(Meaning::Phrase { rule, rest });
    }

    /// Adds the domain of a provider's hosts.
    pub(super) fn host(&mut self, domain: &str, providers: u64) {
        self.starts.push(domain.to_owned());
        self.meanings.push(Meaning::Host { providers });
    }

    /// Builds the automaton.
    pub(super) fn build(self) -> Result<Matcher, BuildError> {
        // Only the root needs a full table of its successors: with those of the next level, too, the
        // automaton is a third larger, no faster, and takes 0.6 MiB more while it is built.
        let automaton = AhoCorasick::builder().dense_depth(1).build(&self.starts)?;
        Ok(Matcher {
            automaton: Some(automaton),
            meanings: self.meanings.into_boxed_slice(),
        })
    }
}

impl Matcher {
    /// Looks at words in lower case with single spaces.
    pub(super) fn find(&self, words: &str) -> Found {
        let words = words.as_bytes();
        let mut found = Found::default();
        let mut tries = 0;
        let hits = self.automaton.iter();
        for hit in hits.flat_map(|automaton| automaton.find_overlapping_iter(words)) {
            let (start, end) = (hit.start(), hit.end());
            match &self.meanings[hit.pattern().as_usize()] {
                Meaning::Phrase { rule, rest } if begins_word(words, start) => {
                    tries += rest.len();
                    if !rest.is_empty() && tries > GAP_TRIES {
                        continue;
                    }
                    if let Some(length) = pieces_follow(&words[end..], rest) {
                        found.phrases.push((*rule, start, end + length));
                    }
                }
                Meaning::Host { providers } if is_host_end(words, start, end) => {
                    found.providers |= providers;
                }
                _ => {}
            }
        }
        found
    }
}

/// A phrase begins where a word begins. Scripts without spaces have no such place.
fn begins_word(words: &[u8], start: usize) -> bool {
    start == 0 || !words[start - 1].is_ascii_alphanumeric() || !words[start].is_ascii()
}

/// Whether the match is a whole domain or its end, and no host name goes on behind it.
fn is_host_end(words: &[u8], start: usize, end: usize) -> bool {
    let of_label = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    let before = start.checked_sub(1).and_then(|at| words.get(at));
    let goes_on = match words[end..] {
        [b'.', ref next, ..] => of_label(next),
        [ref next, ..] => of_label(next),
        [] => false,
    };
    !before.is_some_and(of_label) && !goes_on
}

/// How far the pieces reach into the text, if all are there.
fn pieces_follow(text: &[u8], pieces: &[Box<[u8]>]) -> Option<usize> {
    let mut reached = 0;
    for piece in pieces {
        let rest = &text[reached..];
        let near = &rest[..rest.len().min(GAP_LIMIT + piece.len())];
        reached += memmem::find(near, piece)? + piece.len();
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher() -> Matcher {
        let mut builder = MatcherBuilder::default();
        builder.phrase("mailbox * full", 0);
        builder.phrase("full", 1);
        builder.phrase("いっぱい", 2);
        builder.host("example.com", 1);
        builder.host("example.com.br", 2);
        builder.build().unwrap()
    }

    fn rules(words: &str) -> Vec<usize> {
        let found = matcher().find(words);
        found.phrases.iter().map(|(rule, ..)| *rule).collect()
    }

    #[test]
    fn a_phrase_begins_with_a_word_and_its_pieces_stand_near() {
        assert_eq!(rules("the mailbox of somebody is full"), [0, 1]);
        assert_eq!(rules("submailbox is full"), [1]);
        assert!(rules("successfull").is_empty());
        assert_eq!(rules("容量がいっぱいです"), [2]);
        assert_eq!(rules(&format!("mailbox {}full", "x ".repeat(200))), [1]);
        let found = matcher().find("a mailbox is full.");
        assert_eq!(found.phrases[0], (0, 2, 17));
    }

    #[test]
    fn a_text_that_only_repeats_beginnings_is_given_up() {
        let words = format!("{}full", "mailbox ".repeat(2 * GAP_TRIES));
        assert_eq!(rules(&words), [1]);
    }

    #[test]
    fn hosts_are_found_by_the_end_of_their_name() {
        let providers = |words: &str| matcher().find(words).providers;
        assert_eq!(providers("host mx.example.com[192.0.2.1] said"), 1);
        assert_eq!(providers("example.com. said"), 1);
        assert_eq!(providers("mx.example.com.br:"), 2);
        assert_eq!(
            providers("mx.example.community notexample.com my-example.com"),
            0
        );
    }
}
