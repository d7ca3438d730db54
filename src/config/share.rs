//! A share is written in percent, `"5%"`, or as a part of one, `0.05`.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) fn serialize<S: Serializer>(share: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}%", share * 100.0))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(ShareVisitor)
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share such as \"5%\" or 0.05")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        in_bounds(number).ok_or_else(|| not_a_share(&number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        match number {
            0 => Ok(0.0),
            1 => Ok(1.0),
            _ => Err(E::custom(format_args!(
                "{number} is more than everything; write \"{number}%\" for percent"
            ))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        u64::try_from(number)
            .map_err(|_| not_a_share(&number))
            .and_then(|number| self.visit_u64(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        parse(text).ok_or_else(|| not_a_share(&text))
    }
}

fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(percent) => in_bounds(percent.trim().parse::<f64>().ok()? / 100.0),
        None => in_bounds(text.parse().ok()?),
    }
}

fn in_bounds(share: f64) -> Option<f64> {
    (0.0..=1.0).contains(&share).then_some(share)
}

fn not_a_share<E: Error>(what: &dyn fmt::Display) -> E {
    E::custom(format_args!(
        "{what} is not a share; write for example \"5%\" or 0.05"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_percent_and_parts() {
        for (text, share) in [
            ("5%", Some(0.05)),
            (" 2.5 % ", Some(0.025)),
            ("0.05", Some(0.05)),
            ("0", Some(0.0)),
            ("100%", Some(1.0)),
            ("101%", None),
            ("5", None),
            ("-1%", None),
            ("NaN%", None),
            ("", None),
            ("five", None),
        ] {
            assert_eq!(parse(text), share, "{text}");
        }
    }
}
