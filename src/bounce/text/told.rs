//! What a report in words tells of each recipient, and where its own words end.

use std::collections::HashMap;

use super::super::dsn::cut;
use super::matcher::end_of;
use super::phrases::{MARKS, MARKS_BETWEEN_DASHES};

/// The text in front of the copy of the message that was sent: what stands there is not about it.
pub(in super::super) fn without_returned_message(text: &str) -> &str {
    &text[..start_of_returned_message(text)]
}

/// Where the copy of the message that was sent begins; the end of the text where there is none.
pub(super) fn start_of_returned_message(text: &str) -> usize {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if is_mark(line) {
            return start;
        }
        start += line.len();
    }
    text.len()
}

fn is_mark(line: &str) -> bool {
    let words = line.trim_start_matches([' ', '\t', '-', '*', '=', '_', '>', '#', ':', '|', '[']);
    let first = words
        .bytes()
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let between_dashes = line.trim_start().starts_with("--");
    let may_begin = MARKS
        .iter()
        .any(|mark| mark.as_bytes().first() == Some(&first));
    if !may_begin && !between_dashes {
        return false;
    }
    // No mark is longer; and a long line is no mark.
    let lower: Vec<u8> = words
        .bytes()
        .take(100)
        .map(|b| b.to_ascii_lowercase())
        .collect();
    MARKS.iter().any(|mark| begins(mark, &lower))
        || between_dashes
            && MARKS_BETWEEN_DASHES
                .iter()
                .any(|mark| memchr::memmem::find(&lower, mark.as_bytes()).is_some())
}

/// Whether a line begins with these words. Colons and header names need no end of a word.
fn begins(mark: &str, line: &[u8]) -> bool {
    end_of(mark, line, 0).is_some() && !is_of_the_report(line)
}

/// Sendmail begins its own words alike: "The original message was received at".
fn is_of_the_report(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"was received").is_some()
}

/// What the text says about each address: from its line to that of the next failed address.
///
/// With one address it is everything, since the reason may stand in front as well. Addresses on
/// lines directly below each other share what follows, and the more they are, the less of it they get.
pub(in super::super) fn told_about(text: &str, failed: &[&str], limit: usize) -> Vec<String> {
    if failed.len() == 1 {
        return vec![joined(&without_lines_of_the_sent(text), limit)];
    }
    let numbers: HashMap<&str, usize> = failed.iter().copied().zip(0..).collect();
    let mut told = vec![String::new(); failed.len()];
    let mut group = Group::default();
    for line in text.lines() {
        let named = line
            .split([' ', '\t', '<', '>', ',', ';', '"', '(', ')'])
            .find_map(|word| numbers.get(word.trim_end_matches([':', '.'])).copied());
        if let Some(number) = named {
            if !group.is_open {
                group.share(&mut told, limit);
            }
            if !group.members.contains(&number) {
                group.members.push(number);
            }
            group.is_open = is_bare(line, failed[number]);
        } else if !line.trim().is_empty() {
            group.is_open = false;
        }
        if !group.members.is_empty() && !group.is_open && group.text.len() < limit {
            group.text.push_str(line.trim());
            group.text.push('\n');
        }
    }
    group.share(&mut told, limit);
    told.into_iter().map(|text| cut(text, limit)).collect()
}

/// What a text says from the line on that names the address. Introductions, which tell what might
/// have happened, stand in front of it.
pub(super) fn told_from(text: &str, address: &str, limit: usize) -> String {
    let named = memchr::memmem::find(text.as_bytes(), address.as_bytes()).unwrap_or_default();
    let start = text[..named].rfind('\n').map_or(0, |end| end + 1);
    joined(&without_lines_of_the_sent(&text[start..]), limit)
}

fn without_lines_of_the_sent(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !is_of_the_sent(line)).collect()
}

/// Many programs repeat the subject of the message that was sent, and anything may stand in that.
fn is_of_the_sent(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '>', '*']);
    [
        "subject:", "betreff:", "objet :", "asunto:", "date:", "sent:",
    ]
    .iter()
    .any(|name| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

/// Recipients that are named one below the other, and what is said about all of them.
#[derive(Debug, Default)]
struct Group {
    members: Vec<usize>,
    /// Nothing but addresses came yet.
    is_open: bool,
    text: String,
}

impl Group {
    /// Gives the text to each member and begins anew.
    fn share(&mut self, told: &mut [String], limit: usize) {
        let share = (limit / self.members.len().max(1)).max(200);
        let text = joined(&std::mem::take(&mut self.text), share);
        for number in self.members.drain(..) {
            if let Some(told) = told.get_mut(number).filter(|told| told.len() < limit) {
                if !told.is_empty() {
                    told.push(' ');
                }
                told.push_str(&text);
            }
        }
        self.is_open = false;
    }
}

/// Whether a line says nothing but the address.
fn is_bare(line: &str, address: &str) -> bool {
    line.len() < address.len() + 12
        && line
            .replace(address, "")
            .chars()
            .all(|c| !c.is_alphanumeric())
}

/// The words with single spaces between them, up to a limit.
fn joined(text: &str, limit: usize) -> String {
    let mut joined = String::new();
    for word in text.split_whitespace() {
        if joined.len() >= limit {
            break;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    cut(joined, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_returned_message_is_cut_off() {
        for mark in [
            "------ This is a copy of the message, including all the headers. ------",
            "--- Below this line is a copy of the message.",
            "   ----- Original message follows -----",
            "   ----- Unsent message follows -----",
            "Return-Path: <a@example.com>",
            "Received: from mx.example.net",
            "-------- Returned Mail --------",
            "    Below is a copy of the original message:",
            "Message headers follow:",
            "Content-Type: message/rfc822",
            "--- The header of the original message is following. ---",
        ] {
            assert_eq!(
                without_returned_message(&format!("Words.\n{mark}\nmore\n")),
                "Words.\n",
                "{mark}"
            );
        }
        for words in [
            "The original message was received at noon",
            "   ----- Transcript of session follows -----",
            "------ Failed Recipients ------",
            "-------server message",
            "Your message was not delivered.",
        ] {
            let text = format!("{words}\nmore\n");
            assert_eq!(without_returned_message(&text), text, "{words}");
        }
    }

    #[test]
    fn addresses_below_each_other_share_the_reason() {
        let text = "Failed:\n a@example.com\n <b@example.com>\n\n550 no such user\n\
            c@example.com: full\n";
        let told = told_about(
            text,
            &["a@example.com", "b@example.com", "c@example.com"],
            100,
        );
        assert_eq!(
            told,
            [
                "550 no such user",
                "550 no such user",
                "c@example.com: full"
            ]
        );
    }
}
