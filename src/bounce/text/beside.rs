//! Whether a code of a refusal stands beside an address that a report in words names.

use super::super::codes::{begins_with_reply_code, status_in};
use super::scan::Findings;

/// Octets behind an address within which a program tells why: it may wrap the reason or put some words in front.
const REACH: usize = 400;

/// Whether an enhanced status code or the reply code of a failure stands on the line of one of the
/// addresses or soon behind it. Numbers elsewhere in a text say nothing of anybody.
///
/// `own` are the addresses that the message itself was written by and to.
pub(super) fn has_code_beside(findings: &Findings<'_>, words: &str, own: &[&str]) -> bool {
    let is_own = |address: &str| own.iter().any(|own| own.eq_ignore_ascii_case(address));
    let mut others = findings
        .named
        .iter()
        .filter(|named| !is_own(named.address))
        .take(10);
    others.any(|named| {
        let Some(at) = memchr::memmem::find(words.as_bytes(), named.address.as_bytes()) else {
            return false;
        };
        let start = words[..at].rfind('\n').map_or(0, |end| end + 1);
        let mut end = words.len().min(at + named.address.len() + REACH);
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        let beside = &words[start..end];
        status_in(beside).is_some() || beside.lines().any(has_reply)
    })
}

/// Whether a reply code stands where a reply begins: in front, or behind a mark.
fn has_reply(line: &str) -> bool {
    let marks = line.match_indices([':', '(', '<', '#', '"', '\'', '[', '-']);
    let behind_marks = marks.map(|(at, mark)| at + mark.len());
    std::iter::once(0)
        .chain(behind_marks)
        .any(|start| begins_with_reply_code(line[start..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    fn check(words: &str, has_code: bool) {
        assert_eq!(
            has_code_beside(&scan(words, 100), words, &["own@example.org"]),
            has_code,
            "{words}"
        );
    }

    #[test]
    fn codes_count_beside_an_address_only() {
        check("<a@example.com>: 550 no\n", true);
        check("a@example.com\n    (reason: 550 no)\n", true);
        check("mx said: 550-no <a@example.com>\n", true);
        check("a@example.com was refused (#5.1.1)\n", true);
        check("a@example.com\n\nThe response was:\n550 no\n", true);
        check("Welcome, a@example.com, as one of 500 users.\n", false);
        check("own@example.org: 550 no\n", false);
        check("Error 5.1.1\nWrite to a@example.com.\n", false);
        check("550 no\n", false);
    }
}
