//! A [`Line`] is one line of the suppression log: a verdict, or the gap where lines were lost.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Outcome};
use crate::mail::EnhancedStatus;
use crate::suppression::{Reason, RecipientKey, Tenant, Verdict};
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

/// What the lines of one transaction have in common: an entry up to its recipient.
#[derive(Serialize)]
struct Head<'a> {
    time: Timestamp,
    id: &'a str,
    tenant: &'a Tenant,
    listener: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    client: IpAddr,
    stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<&'a str>,
    #[serde(rename = "message-id", skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

/// The rest of an entry, from its recipient on.
#[derive(Serialize)]
struct Tail<'a> {
    recipient: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<RecipientKey>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "<[Reason]>::is_empty")]
    also: &'a [Reason],
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    observed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(rename = "upstream-reply", skip_serializing_if = "Option::is_none")]
    upstream_reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

impl<'a> Head<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            time: entry.time,
            id: &entry.id,
            tenant: &entry.tenant,
            listener: &entry.listener,
            credential: entry.credential.as_deref(),
            client: entry.client,
            stream: &entry.stream,
            campaign: entry.campaign.as_deref(),
            message_id: entry.message_id.as_deref(),
        }
    }
}

impl<'a> Tail<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            recipient: &entry.recipient,
            key: entry.key,
            verdict: entry.verdict,
            reason: entry.reason,
            also: &entry.also,
            since: entry.since,
            observed: entry.observed,
            reply: entry.reply.as_deref(),
            upstream_reply: entry.upstream_reply.as_deref(),
            outcome: entry.outcome,
        }
    }
}

/// Renders entries and gaps as lines; control characters are escaped by JSON (A5).
///
/// The recipients of one message come one after the other, and half of each line is the same: that
/// half is written once and copied.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    /// Whether a recipient appears only as key and domain.
    hashed: bool,
    /// The transaction whose head stands in `head`.
    of: Option<Arc<str>>,
    /// The open object up to its recipient, behind a comma.
    head: Vec<u8>,
}

impl Renderer {
    pub(super) fn new(hashed: bool) -> Self {
        Self {
            hashed,
            ..Self::default()
        }
    }

    /// Appends an entry to `buffer` as one line.
    pub(super) fn entry(&mut self, mut entry: Entry, buffer: &mut Vec<u8>) {
        if self.hashed {
            hide_address(&mut entry);
        } else {
            entry.key = None;
        }
        // The same allocation is the same transaction; ids of two may be alike only after a restart.
        let is_next = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &entry.id));
        if !is_next {
            self.head.clear();
            write(&Head::of(&entry), &mut self.head);
            // The object goes on with the recipient.
            if self.head.pop().is_some() {
                self.head.push(b',');
            }
            self.of = Some(Arc::clone(&entry.id));
        }
        let start = buffer.len();
        buffer.extend_from_slice(&self.head);
        let tail = buffer.len();
        write(&Tail::of(&entry), buffer);
        if self.head.is_empty() || buffer.len() == tail {
            buffer.truncate(start);
            return;
        }
        // The brace that opened it.
        buffer.remove(tail);
        buffer.push(b'\n');
    }

    /// Appends the line that tells of a gap.
    pub(super) fn gap(gap: &Gap, buffer: &mut Vec<u8>) {
        write(gap, buffer);
        buffer.push(b'\n');
    }
}

fn write(value: &impl Serialize, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    // Entries hold texts, numbers and times only, and a Vec takes any bytes: this does not fail.
    // If it ever did, half a line must not stand in the way of the next.
    if let Err(error) = serde_json::to_writer(&mut *buffer, value) {
        buffer.truncate(start);
        tracing::error!(%error, "a line of the suppression log cannot be written");
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
            *reply = hidden.into();
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
    fn a_line_is_the_entry_whether_its_head_was_copied_or_not() {
        let mut first = super::super::entry::example("a@example.com");
        let mut second = first.clone();
        second.recipient = "\"b\\n\"@example.com".to_owned();
        second.also = vec![Reason::Complaint];
        second.observed = true;
        second.outcome = Some(Outcome::Delivered);
        let mut third = super::super::entry::example("c@example.com");
        third.campaign = Some("spring".into());
        let mut renderer = Renderer::new(false);
        let mut lines = Vec::new();
        for entry in [&first, &second, &third] {
            renderer.entry(entry.clone(), &mut lines);
        }
        let told: Vec<&[u8]> = lines.split(|&byte| byte == b'\n').collect();
        assert_eq!(told.len(), 4);
        for (line, entry) in told.iter().zip([&mut first, &mut second, &mut third]) {
            entry.key = None;
            assert_eq!(*line, serde_json::to_vec(entry).unwrap());
        }
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
