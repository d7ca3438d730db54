//! A [`StatusPattern`] stands for several enhanced status codes: `5.1.1`, `*.7.25`, `5.7.606-649`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::mail::EnhancedStatus;

/// Status codes that a rule holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusPattern {
    /// The class; none stands for any.
    class: Option<u8>,
    subject: RangeInclusive<u16>,
    detail: RangeInclusive<u16>,
}

/// The text is not a pattern of status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PatternError;

impl StatusPattern {
    pub(super) fn matches(&self, status: EnhancedStatus) -> bool {
        self.class.is_none_or(|class| class == status.class())
            && self.subject.contains(&status.subject())
            && self.detail.contains(&status.detail())
    }

    /// One of the codes it stands for, a permanent one where it leaves that open.
    pub(super) fn example(&self) -> EnhancedStatus {
        EnhancedStatus::of(
            self.class.unwrap_or(5),
            *self.subject.start(),
            *self.detail.start(),
        )
    }
}

impl FromStr for StatusPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut parts = text.split('.');
        let (Some(class), Some(subject), Some(detail), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PatternError);
        };
        let class = match class {
            "*" => None,
            "2" => Some(2),
            "4" => Some(4),
            "5" => Some(5),
            _ => return Err(PatternError),
        };
        Ok(Self {
            class,
            subject: range(subject).ok_or(PatternError)?,
            detail: range(detail).ok_or(PatternError)?,
        })
    }
}

/// `*`, `7` or `606-649`; up to three digits each, RFC 3463 §2.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |digits: &str| {
        let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    match text.split_once('-') {
        _ if text == "*" => Some(0..=999),
        Some((first, last)) => {
            Some(number(first)?..=number(last)?).filter(|range| !range.is_empty())
        }
        None => number(text).map(|number| number..=number),
    }
}

impl<'de> Deserialize<'de> for StatusPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|PatternError| serde::de::Error::custom(format!("`{text}` is {PatternError}")))
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a status code; write for example \"5.1.1\", \"*.7.25\" or \"5.7.606-649\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, status: &str, expected: bool) {
        let pattern: StatusPattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(status.parse().unwrap()), expected);
        assert!(pattern.matches(pattern.example()));
    }

    #[test]
    fn a_pattern_stands_for_several_codes() {
        check("5.1.1", "5.1.1", true);
        check("5.1.1", "4.1.1", false);
        check("5.1.1", "5.1.10", false);
        check("*.7.25", "4.7.25", true);
        check("5.7.*", "5.7.509", true);
        check("5.7.*", "5.1.7", false);
        check("5.7.606-649", "5.7.606", true);
        check("5.7.606-649", "5.7.649", true);
        check("5.7.606-649", "5.7.650", false);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "", "5", "5.1", "5.1.1.1", "3.1.1", "5.x.1", "5.1.", "5.1.9-2", "5.1.1234",
        ] {
            assert_eq!(text.parse::<StatusPattern>(), Err(PatternError), "{text}");
        }
    }
}
