//! A [`Timestamp`] is a moment in UTC, kept to the millisecond, written as RFC 3339.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;

/// Milliseconds since 1970-01-01T00:00:00Z, never before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time (expected RFC 3339, as in 2026-11-22T06:20:00Z)")]
pub struct TimestampError;

/// The last millisecond of the year 9999, beyond which RFC 3339 has no form.
const LATEST: u64 = 253_402_300_799_999;

impl Timestamp {
    /// The moment so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LATEST { LATEST } else { millis })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The machine's clock. Only what lives at the edge asks for it; the core is told.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(whole_millis(duration)))
    }

    /// So much earlier, never before the epoch.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }

    /// The UTC day as `2026-11-22`.
    #[must_use]
    pub fn day(self) -> String {
        self.format(format_description!("[year]-[month]-[day]"))
    }

    /// As a message header writes it (RFC 5322 §3.3), in UTC.
    #[must_use]
    pub fn rfc5322(self) -> String {
        self.date_time()
            .replace_millisecond(0)
            .ok()
            .and_then(|moment| moment.format(&Rfc2822).ok())
            .unwrap_or_default()
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn format(self, description: &[time::format_description::BorrowedFormatItem<'_>]) -> String {
        self.date_time().format(description).unwrap_or_default()
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(moment: SystemTime) -> Self {
        Self::from_millis(whole_millis(
            moment.duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}

impl fmt::Display for Timestamp {
    /// As RFC 3339 writes it. Every event is written with some of these, so it is done by hand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date_time().date();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let in_day = self.0 % (24 * 60 * 60 * 1000);
        let (seconds, millis) = (in_day / 1000, in_day % 1000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, width, number) in [
            (0, 4, u64::from(year.unsigned_abs())),
            (5, 2, month.into()),
            (8, 2, day.into()),
            (11, 2, seconds / 3600),
            (14, 2, seconds / 60 % 60),
            (17, 2, seconds % 60),
            (20, 3, millis),
        ] {
            write_digits(&mut text[place..place + width], number);
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Writes a number with leading zeros.
fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        // Below ten.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(millis)
            .map(Self::from_millis)
            .map_err(|_| TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_offsets_and_writes_utc() {
        let moment: Timestamp = "2026-11-22T08:20:00.5+02:00".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-22T06:20:00.500Z");
        assert_eq!(moment.day(), "2026-11-22");
        assert_eq!(moment.rfc5322(), "Sun, 22 Nov 2026 06:20:00 +0000");
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError));
        assert_eq!(
            "1969-12-31T23:59:59Z".parse::<Timestamp>(),
            Err(TimestampError)
        );
    }

    #[test]
    fn the_first_and_the_last_moment_are_written() {
        let written = |millis| Timestamp::from_millis(millis).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(written(951_782_400_007), "2000-02-29T00:00:00.007Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millis in 0..=LATEST) {
            let moment = Timestamp::from_millis(millis);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
