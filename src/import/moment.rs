//! A *moment* as lists write it: RFC 3339, the same without a zone, a date, Unix time, or RFC 2822.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use super::RowError;
use super::words::shown;
use crate::timestamp::Timestamp;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const FINE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond]");

/// Digits of Unix time from 1973 on, in seconds; with three more it is in milliseconds.
const UNIX_DIGITS: std::ops::RangeInclusive<usize> = 9..=10;

/// Reads a moment; one without a zone is in UTC.
pub(super) fn parse(text: &str) -> Result<Timestamp, RowError> {
    read(text.trim()).ok_or_else(|| RowError::Time(shown(text)))
}

fn read(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return unix(text);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.find(' ').is_some_and(|at| at < 8) {
        // RFC 2822 knows GMT and no UTC.
        let text = text.replace(" UTC", " +0000");
        return moment(OffsetDateTime::parse(&text, &Rfc2822).ok()?);
    }
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    if let Ok(date) = Date::parse(text, DATE) {
        return moment(date.midnight().assume_utc());
    }
    let text = text
        .trim_end_matches("UTC")
        .trim_end_matches("+00:00")
        .trim_end_matches('Z')
        .trim_end();
    let text = text.replacen('T', " ", 1);
    let time = PrimitiveDateTime::parse(&text, TIME)
        .or_else(|_| PrimitiveDateTime::parse(&text, FINE_TIME));
    moment(time.ok()?.assume_utc())
}

fn unix(digits: &str) -> Option<Timestamp> {
    let number: u64 = digits.parse().ok()?;
    let length = digits.len();
    if UNIX_DIGITS.contains(&length) {
        Some(Timestamp::from_millis(number * 1000))
    } else if UNIX_DIGITS.contains(&length.saturating_sub(3)) {
        Some(Timestamp::from_millis(number))
    } else {
        None
    }
}

fn moment(moment: OffsetDateTime) -> Option<Timestamp> {
    let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.to_string(), expected, "{text}");
    }

    #[test]
    fn moments_of_many_makes_are_read() {
        for text in [
            "2026-11-22T06:20:00Z",
            "2026-11-22T08:20:00+02:00",
            "2026-11-22 06:20:00",
            " 2026-11-22T06:20:00 ",
            "2026-11-22 06:20:00 UTC",
            "2026-11-22 06:20:00+00:00",
            "2026-11-22 06:20:00.000000",
            "1795328400",
            "1795328400000",
            "Sun, 22 Nov 2026 06:20:00 +0000",
            "Sun, 22 Nov 2026 06:20:00 GMT",
            "Sun, 22 Nov 2026 06:20:00 UTC",
            "22 Nov 2026 08:20:00 +0200",
        ] {
            check(text, "2026-11-22T06:20:00.000Z");
        }
        check("2026-11-22", "2026-11-22T00:00:00.000Z");
        check("2026-11-22 06:20:00.5", "2026-11-22T06:20:00.500Z");
        check("999999999", "2001-09-09T01:46:39.000Z");
    }

    #[test]
    fn what_is_no_moment_is_an_error() {
        for text in [
            "",
            "yesterday",
            "22.11.2026",
            "11/22/2026",
            "2026-13-01",
            "20261122",
            "12",
            "1969-12-31",
            "é-22",
        ] {
            assert_eq!(parse(text), Err(RowError::Time(text.to_owned())), "{text}");
        }
    }
}
