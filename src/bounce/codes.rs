//! The codes that stand in the text of a refusal: `550` and `5.1.1`.

use crate::mail::EnhancedStatus;

/// The subjects of RFC 3463 §3: X.0 to X.7. A greater number is that of a version.
const SUBJECT_LIMIT: u16 = 7;

/// The first enhanced status code in a text that tells something, else the first. An IPv4 address is none.
///
/// A code directly behind a reply code or a `#` goes before any other: it is what the host said.
pub(super) fn status_in(text: &str) -> Option<EnhancedStatus> {
    let bytes = text.as_bytes();
    let mut vague = None;
    let mut elsewhere = None;
    for start in word_starts(bytes) {
        let Some((status, rest)) = EnhancedStatus::parse_prefix(&bytes[start..]) else {
            continue;
        };
        let goes_on = matches!(rest, [b'.', b'0'..=b'9', ..]);
        if status.class() == 2 || status.subject() > SUBJECT_LIMIT || goes_on {
            continue;
        }
        if says_little(status) {
            vague = better(vague, Some(status));
        } else if is_said(&bytes[..start]) {
            return Some(status);
        } else {
            elsewhere = elsewhere.or(Some(status));
        }
    }
    elsewhere.or(vague)
}

/// Whether the text in front of a code is that of a reply: `550 `, `550-`, `#`.
fn is_said(before: &[u8]) -> bool {
    match before {
        [.., b'#'] => true,
        [.., b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-'] => {
            let outside = before.len().checked_sub(5).map(|at| before[at]);
            outside.is_none_or(|b| !b.is_ascii_alphanumeric() && b != b'.')
        }
        [.., b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ', b'(' | b'['] => true,
        _ => false,
    }
}

/// Whether a code leaves open why: `5.0.0` and each `5.x.0` are "other", and X.4.7 says
/// only that the time was up.
pub(super) fn says_little(status: EnhancedStatus) -> bool {
    vagueness(status) > 0
}

/// How much a code leaves open. `5.3.0` at least names the field.
fn vagueness(status: EnhancedStatus) -> u8 {
    match (status.subject(), status.detail()) {
        (0, 0) => 2,
        (_, 0) | (4, 7) => 1,
        _ => 0,
    }
}

/// Of the code in a report's Status field and the one that the refusing host said, the one to go by.
///
/// The host's own code wins where the field says little, and where it blames the sender: some
/// servers file every 550 under 5.1.1. A field that says "transient" is not overruled.
pub(super) fn better(
    field: Option<EnhancedStatus>,
    said: Option<EnhancedStatus>,
) -> Option<EnhancedStatus> {
    let (Some(of_field), Some(of_host)) = (field, said) else {
        return field.or(said);
    };
    let hardens = of_field.class() == 4 && of_host.class() == 5;
    let tells_more = vagueness(of_host) < vagueness(of_field);
    if tells_more && !hardens || blames_sender(of_host) {
        said
    } else {
        field
    }
}

/// Policy, and the codes about the sender's own address.
pub(super) fn blames_sender(status: EnhancedStatus) -> bool {
    status.class() == 5 && matches!((status.subject(), status.detail()), (7, _) | (1, 7 | 8))
}

/// The first reply code of a failure in a text.
pub(super) fn reply_code_in(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    word_starts(bytes).find_map(|start| reply_code_at(&bytes[start..]))
}

/// Whether a text begins with the reply code of a failure.
pub(super) fn begins_with_reply_code(text: &str) -> bool {
    reply_code_at(text.as_bytes()).is_some()
}

fn reply_code_at(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [
            class @ (b'4' | b'5'),
            x @ b'0'..=b'5',
            y @ b'0'..=b'9',
            ref rest @ ..,
        ] => {
            let ends = matches!(rest, [] | [b' ' | b'-' | b'\r' | b'\n' | b'_', ..]);
            let digits = [class, x, y].map(|digit| u16::from(digit - b'0'));
            ends.then_some(digits[0] * 100 + digits[1] * 10 + digits[2])
        }
        _ => None,
    }
}

/// Where a digit begins a word.
fn word_starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..bytes.len()).filter(|&at| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'@';
        bytes[at].is_ascii_digit() && (at == 0 || !inside(bytes[at - 1]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reply_code: Option<u16>, status: Option<&str>) {
        assert_eq!(reply_code_in(text), reply_code, "{text}");
        assert_eq!(
            status_in(text).map(|status| status.to_string()).as_deref(),
            status,
            "{text}"
        );
    }

    #[test]
    fn the_code_that_tells_more_wins_unless_it_hardens() {
        let status = |text: &str| status_in(text);
        let choice = |field, said| better(status(field), status(said)).map(|s| s.to_string());
        assert_eq!(choice("5.0.0", "5.3.0").as_deref(), Some("5.3.0"));
        assert_eq!(choice("5.3.0", "5.0.0").as_deref(), Some("5.3.0"));
        assert_eq!(choice("5.3.0", "5.1.1").as_deref(), Some("5.1.1"));
        assert_eq!(choice("4.0.0", "5.1.1").as_deref(), Some("4.0.0"));
        assert_eq!(choice("5.1.1", "5.7.1").as_deref(), Some("5.7.1"));
        assert_eq!(choice("5.0.0 5.3.0", "").as_deref(), Some("5.3.0"));
    }

    #[test]
    fn codes_are_found_and_other_numbers_left() {
        check("550 5.1.1 no such user", Some(550), Some("5.1.1"));
        check("550-5.7.509 denied", Some(550), Some("5.7.509"));
        check("host 5.1.1.2 said: 452 full", Some(452), None);
        check(
            "mx[192.0.2.1] said: 550 no (#5.2.2)",
            Some(550),
            Some("5.2.2"),
        );
        check("Sorry. (#5.1.2).", None, Some("5.1.2"));
        check("550 no such user here (Exim 4.94.2)", Some(550), None);
        check("5.1.1 it says; 550 5.7.1 no", Some(550), Some("5.7.1"));
        check("server 5.5.3: no mailbox (#5.1.1)", None, Some("5.1.1"));
        check("order 4501 and x550 and 250 2.1.5", None, None);
        check("", None, None);
    }
}
