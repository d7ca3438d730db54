//! The codes that stand in the text of a refusal: `550` and `5.1.1`.

use crate::mail::EnhancedStatus;

/// The first enhanced status code in a text. An IPv4 address is none.
pub(super) fn status_in(text: &str) -> Option<EnhancedStatus> {
    let bytes = text.as_bytes();
    word_starts(bytes).find_map(|start| {
        let (status, rest) = EnhancedStatus::parse_prefix(&bytes[start..])?;
        let goes_on = matches!(rest, [b'.', b'0'..=b'9', ..]);
        (status.class() != 2 && !goes_on).then_some(status)
    })
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
