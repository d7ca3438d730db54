//! The [`Section`]s of the configuration and the keys in each, as the types themselves tell them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use super::{
    Bounces, Config, Http, Keys, Learning, Limits, Log, ReturnPath, ReturnsListener, SmtpListener,
    Store, Stream, Timeouts, Tls, Trace, Upstream, User,
};

/// One key at the top of the configuration, with what is behind it.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// What is behind a key at the top.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A value.
    Value,
    /// A table with these keys.
    Table(Fields),
    /// A list of tables with these keys.
    List(Fields),
    /// Tables with these keys, under names that the operator chooses.
    Named(Fields),
}

/// The keys of a table.
pub(super) type Fields = &'static [&'static str];

/// Every section, in the order of [`Config`].
pub(super) fn sections() -> Vec<Section> {
    fields_of::<Config>()
        .iter()
        .map(|name| Section {
            name,
            shape: shape(name),
        })
        .collect()
}

fn shape(section: &str) -> Shape {
    match section {
        "smtp" => Shape::List(fields_of::<SmtpListener>()),
        "returns" => Shape::List(fields_of::<ReturnsListener>()),
        "upstream" => Shape::Table(fields_of::<Upstream>()),
        "return_path" => Shape::Table(fields_of::<ReturnPath>()),
        "store" => Shape::Table(fields_of::<Store>()),
        "keys" => Shape::Table(fields_of::<Keys>()),
        "tls" => Shape::Table(fields_of::<Tls>()),
        "users" => Shape::Named(fields_of::<User>()),
        "streams" => Shape::Named(fields_of::<Stream>()),
        "bounces" => Shape::Table(fields_of::<Bounces>()),
        "learning" => Shape::Table(fields_of::<Learning>()),
        "http" => Shape::Table(fields_of::<Http>()),
        "log" => Shape::Table(fields_of::<Log>()),
        "trace" => Shape::Table(fields_of::<Trace>()),
        "limits" => Shape::Table(fields_of::<Limits>()),
        "timeouts" => Shape::Table(fields_of::<Timeouts>()),
        _ => Shape::Value,
    }
}

/// The field names of a struct, which its derived `Deserialize` hands to every deserializer.
fn fields_of<'de, T: Deserialize<'de>>() -> Fields {
    match T::deserialize(FieldNames) {
        Err(Captured(fields)) => fields,
        Ok(_) => &[],
    }
}

/// A deserializer that reads nothing and only listens which fields are asked for.
struct FieldNames;

/// The fields, handed out by way of the error.
#[derive(Debug)]
struct Captured(Fields);

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Captured;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: Fields,
        _visitor: V,
    ) -> Result<V::Value, Captured> {
        Err(Captured(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Captured> {
        Err(Captured(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl std::error::Error for Captured {}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the field names were asked for")
    }
}

impl Error for Captured {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_keys() {
        let sections = sections();
        assert_eq!(sections.len(), 18);
        for section in sections {
            match section.shape {
                Shape::Value => assert!(["hostname", "data_dir"].contains(&section.name)),
                Shape::Table(fields) | Shape::List(fields) | Shape::Named(fields) => {
                    assert!(!fields.is_empty(), "{}", section.name);
                }
            }
        }
        assert!(fields_of::<Store>().contains(&"password"));
    }
}
