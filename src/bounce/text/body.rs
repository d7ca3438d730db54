//! The words of a report: its parts as text, in the order in which a verdict is looked for in them.

use super::super::Limits;
use super::super::part::{Message, Part};
use super::html;

/// Parts of a report that are looked at. The words stand in the first; the rest is what came back.
const PART_LIMIT: usize = 4;

/// The texts that may hold the report. Returned messages are never among them.
pub(super) fn texts<'a>(
    message: &'a Message<'_>,
    limits: &'a Limits,
) -> impl Iterator<Item = String> + 'a {
    let plain = message.parts.iter().filter(|part| is_plain(part));
    let html = message.parts.iter().filter(|part| part.is("text/html"));
    let odd = message.parts.iter().filter(|part| is_odd(part));
    plain
        .chain(html)
        .chain(odd)
        .take(PART_LIMIT)
        .map(|part| text_of(part, limits.header_limit))
        .filter(|text| !text.trim().is_empty())
}

/// Whether a text part begins as JSON does.
pub(super) fn begins_as_json(message: &Message<'_>) -> bool {
    let mut texts = message.parts.iter().filter(|part| is_plain(part));
    // Enough for a few encoded lines.
    let begins = |part: &Part<'_>| part.content(1000).trim_ascii_start().first() == Some(&b'{');
    texts.by_ref().take(PART_LIMIT).any(begins)
}

fn is_plain(part: &Part<'_>) -> bool {
    part.is("text/plain")
}

/// Multiparts that could not be cut, and types with a name of their own.
fn is_odd(part: &Part<'_>) -> bool {
    !is_plain(part) && !part.is("text/html") && !part.is_message()
}

fn text_of(part: &Part<'_>, limit: usize) -> String {
    let text = part.text(limit);
    let is_html = part.is("text/html") || begins_as_html(&text);
    let text = if is_html { html::to_text(&text) } else { text };
    if text.contains("\r") {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}

fn begins_as_html(text: &str) -> bool {
    let start = text.trim_start().as_bytes();
    ["<html", "<!doctype html", "<head", "<body"]
        .iter()
        .any(|tag| {
            start
                .get(..tag.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        })
}
