//! The codes that stand in the text of a refusal: `550` and `5.1.1`.

use crate::mail::EnhancedStatus;

/// The first enhanced status code in a text that tells something, else the first. An IPv4 address is none.
pub(super) fn status_in(text: &str) -> Option<EnhancedStatus> {
    let bytes = text.as_bytes();
    let mut vague = None;
    for start in word_starts(bytes) {
        let Some((status, rest)) = EnhancedStatus::parse_prefix(&bytes[start..]) else {
            continue;
        };
        let goes_on = matches!(rest, [b'.', b'0'..=b'9', ..]);
        if status.class() == 2 || goes_on {
            continue;
        }
        if !says_little(status) {
            return Some(status);
        }
        vague = better(vague, Some(status));
    }
    vague
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
    word_starts(bytes).find_map(|start| match bytes[start..] {
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
    })
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
        check("order 4501 and x550 and 250 2.1.5", None, None);
        check("", None, None);
    }
}
