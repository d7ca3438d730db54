//! A duration is written with its unit: `200ms`, `5m`, `1h 30m`, `35days`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

pub(super) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"200ms\" or \"5m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let text = text.trim();
        if let Ok(number) = text.parse::<u64>()
            && number > 0
        {
            return Err(needs_unit(number));
        }
        humantime::parse_duration(text).map_err(|error| {
            E::custom(format_args!(
                "\"{text}\" is not a duration ({error}); write for example \"200ms\", \"30s\" or \"5m\""
            ))
        })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        match number {
            0 => Ok(Duration::ZERO),
            _ => Err(needs_unit(number)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        u64::try_from(number)
            .map_err(|_| E::custom("a duration cannot be negative"))
            .and_then(|number| self.visit_u64(number))
    }
}

/// A bare number is ambiguous: some programs mean seconds by it, others milliseconds.
fn needs_unit<E: Error>(number: u64) -> E {
    E::custom(format_args!(
        "a duration needs a unit: write \"{number}s\" for seconds or \"{number}ms\" for milliseconds"
    ))
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer, U64Deserializer};

    use super::*;

    fn read(text: &str) -> Result<Duration, String> {
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        deserialize(text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_units() {
        assert_eq!(read("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(read(" 5m "), Ok(Duration::from_secs(300)));
        assert_eq!(read("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(read("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn says_what_to_write() {
        assert!(read("30").unwrap_err().contains("\"30s\""));
        assert!(read("5 parsecs").unwrap_err().contains("\"5 parsecs\""));
        assert!(read("").unwrap_err().contains("not a duration"));
        assert!(read("-1s").is_err());
        let number: U64Deserializer<Error> = 7u64.into_deserializer();
        assert!(deserialize(number).unwrap_err().to_string().contains("7ms"));
    }
}
