//! A size is a number of octets, or a number with a unit: `1000`, `25MB` (decimal), `1MiB` (binary).

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// The units, largest first, so that a size is written with the largest that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) fn serialize<S: Serializer>(size: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let unit = UNITS
        .iter()
        .find(|(_, factor)| *size > 0 && size.is_multiple_of(*factor));
    match unit {
        Some((unit, factor)) if *factor > 1 => {
            serializer.collect_str(&format_args!("{}{unit}", size / factor))
        }
        _ => serializer.serialize_u64(*size),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 1000, \"25MB\" or \"1MiB\"")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::custom("a size cannot be negative"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text).ok_or_else(|| {
            E::custom(format_args!(
                "\"{text}\" is not a size; write octets, or a whole number with kB, MB, GB, KiB, MiB or GiB"
            ))
        })
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (text, size) in [
            ("0", 0),
            ("1000", 1000),
            ("25MB", 25_000_000),
            ("25 mb", 25_000_000),
            ("1MiB", 1_048_576),
            ("64kib", 65_536),
            ("2 GiB", 2_147_483_648),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Some(size), "{text}");
        }
        for text in [
            "",
            "MB",
            "1.5MB",
            "-1",
            "1TB",
            "99999999999GiB",
            "1 M B",
            "ä",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
