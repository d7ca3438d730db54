//! A [`Line`] is one line of the suppression log: a verdict, or the gap where lines were lost.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::mail::EnhancedStatus;
use crate::timestamp::Timestamp;

/// One line of the suppression log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A verdict.
    Entry(Box<Entry>),
    /// Lines that could not be written.
    Gap(Gap),
}

/// Tells that lines are missing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the gap ended.
    pub time: Timestamp,
    /// How many lines are missing.
    pub lost: u64,
}

impl Line {
    /// Reads a line; none when it is neither a verdict nor a gap.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line)
            .map(Self::Entry)
            .or_else(|_| serde_json::from_slice(line).map(Self::Gap))
            .ok()
    }
}

/// Appends an entry to `buffer` as one line; control characters are escaped by JSON (A5).
pub(super) fn render(mut entry: Entry, hashed: bool, buffer: &mut Vec<u8>) {
    if hashed {
        hide_address(&mut entry);
    } else {
        entry.key = None;
    }
    append(&entry, buffer);
}

/// Appends the line that tells of a gap.
pub(super) fn render_gap(gap: &Gap, buffer: &mut Vec<u8>) {
    append(gap, buffer);
}

fn append(value: &impl Serialize, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    // Entries hold texts, numbers and times only, and a Vec takes any bytes: this does not fail.
    // If it ever did, half a line must not stand in the way of the next.
    match serde_json::to_writer(&mut *buffer, value) {
        Ok(()) => buffer.push(b'\n'),
        Err(error) => {
            buffer.truncate(start);
            tracing::error!(%error, "a line of the suppression log cannot be written");
        }
    }
}

/// Leaves of the recipient its key and its domain, also in what the upstream said about it (A5).
fn hide_address(entry: &mut Entry) {
    let recipient = std::mem::take(&mut entry.recipient);
    // Without an @ all of it is a local-part: bare `postmaster`, for one.
    let (local_part, domain) = recipient.rsplit_once('@').unwrap_or((&recipient, ""));
    for reply in [&mut entry.reply, &mut entry.upstream_reply]
        .into_iter()
        .flatten()
    {
        if let Cow::Owned(hidden) = without_addresses(reply, local_part) {
            *reply = hidden;
        }
    }
    entry.recipient = domain.to_owned();
}

/// The reply with `*` for each local-part: for what stands before an `@`, and for the word
/// `local_part` wherever it stands alone. Code and enhanced status stay.
pub(crate) fn without_addresses<'a>(reply: &'a str, local_part: &str) -> Cow<'a, str> {
    let (codes, text) = reply.split_at(text_start(reply));
    let mut hidden = String::with_capacity(reply.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let start = local_part_start(&rest[..at]);
        hide_word(&rest[..start], local_part, &mut hidden);
        hidden.push_str(if start < at { "*@" } else { "@" });
        rest = &rest[at + 1..];
    }
    hide_word(rest, local_part, &mut hidden);
    if hidden == text {
        Cow::Borrowed(reply)
    } else {
        Cow::Owned(format!("{codes}{hidden}"))
    }
}

/// Where the words begin, behind `550 5.1.1 `.
fn text_start(reply: &str) -> usize {
    let mut start = 0;
    for (index, word) in reply.split_inclusive(' ').take(2).enumerate() {
        let bare = word.trim_end_matches(' ');
        let code = match index {
            0 => bare.len() == 3 && bare.bytes().all(|b| b.is_ascii_digit()),
            _ => bare.parse::<EnhancedStatus>().is_ok(),
        };
        if !code {
            break;
        }
        start += word.len();
    }
    start
}

/// Where the local-part at the end of `text` begins, quoted or not.
fn local_part_start(text: &str) -> usize {
    if let Some(quoted) = text.strip_suffix('"') {
        return quoted.rfind('"').unwrap_or(0);
    }
    let delimiter = |c: char| c.is_whitespace() || "<>()[]{}\"',:;".contains(c);
    text.char_indices()
        .rfind(|&(_, c)| delimiter(c))
        .map_or(0, |(index, c)| index + c.len_utf8())
}

/// Copies `text` with `*` for `word` where it stands between other characters than letters and digits.
fn hide_word(text: &str, word: &str, copy: &mut String) {
    let mut rest = text;
    let mut before = None;
    while let Some(character) = rest.chars().next() {
        let length = if before.is_some_and(char::is_alphanumeric) {
            None
        } else {
            prefix_length(rest, word)
        };
        let step = length.unwrap_or_else(|| character.len_utf8());
        if length.is_some() {
            copy.push('*');
        } else {
            copy.push(character);
        }
        before = rest[..step].chars().next_back();
        rest = &rest[step..];
    }
}

/// The length of `word` if `text` begins with it, in any case of ASCII letters, and it ends there.
fn prefix_length(text: &str, word: &str) -> Option<usize> {
    let head = text.get(..word.len())?;
    let ends = !text[word.len()..]
        .chars()
        .next()
        .is_some_and(char::is_alphanumeric);
    (!word.is_empty() && head.eq_ignore_ascii_case(word) && ends).then_some(word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &str, local_part: &str, hidden: &str) {
        assert_eq!(without_addresses(reply, local_part), hidden);
    }

    #[test]
    fn a5_replies_lose_their_local_parts() {
        check(
            "550 5.1.1 <bob@example.net>: no such user",
            "bob",
            "550 5.1.1 <*@example.net>: no such user",
        );
        check(
            "550 5.1.1 user Bob unknown",
            "bob",
            "550 5.1.1 user * unknown",
        );
        check("550 unknown: 5551234", "5551234", "550 unknown: *");
        check(
            "550 5.1.1 \"a b\"@example.net, c@d.example",
            "x",
            "550 5.1.1 *@example.net, *@d.example",
        );
        check("250 2.1.5 bobby is fine", "bob", "250 2.1.5 bobby is fine");
        check("550 5.1.1 é@é", "5", "550 5.1.1 *@é");
        check("@", "", "@");
        check("", "a", "");
    }
}
