//! Reads a [`Node`] into a type with serde, and tells for every error where it was written.
//!
//! After an error the value is marked as broken and reading begins again without it, so that all
//! errors are found.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{Origin, Problem, nearest};
use super::path::{KeyPath, Step};
use super::tree::{self, Entry, Node, Value};

/// More than this nobody corrects in one go.
const PROBLEM_LIMIT: usize = 100;

/// Reads the whole tree; without a value when there are problems.
pub(super) fn read<T: DeserializeOwned>(tree: &mut Node) -> (Option<T>, Vec<Problem>) {
    let mut problems = Vec::new();
    while problems.len() < PROBLEM_LIMIT {
        let error = match T::deserialize(&*tree) {
            Ok(value) => return (Some(value).filter(|_| problems.is_empty()), problems),
            Err(error) => error,
        };
        problems.push(error.problem(tree));
        if !mark_broken(tree, error.path) {
            break;
        }
    }
    (None, problems)
}

/// Marks the value at this path, or else the nearest one around it: a list that came from a
/// variable has no entries in the tree. False when there is nothing left to mark.
pub(super) fn mark_broken(tree: &mut Node, mut path: KeyPath) -> bool {
    while !path.steps().is_empty() {
        if let Some(node) = tree.get_mut(&path) {
            let fresh = !matches!(node.value, Value::Broken);
            node.value = Value::Broken;
            return fresh;
        }
        path = path.parent();
    }
    false
}

/// Why a value could not be read, and which.
#[derive(Debug)]
pub(super) struct ReadError {
    path: KeyPath,
    /// Where, if not simply where the value is: for an unknown key, where the key is.
    at: Option<Origin>,
    /// The key that is missing in the table of the path.
    missing: Option<&'static str>,
    message: String,
}

impl ReadError {
    fn within(mut self, step: Step) -> Self {
        self.path.prepend(step);
        self
    }

    fn problem(&self, tree: &Node) -> Problem {
        let path = self.path.clone();
        Problem {
            origin: self.at.clone().unwrap_or_else(|| tree.place(&path)),
            key: match self.missing {
                Some(field) => path.key(field).to_string(),
                None => path.to_string(),
            },
            message: self.message.clone(),
        }
    }
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: KeyPath::default(),
            at: None,
            missing: None,
            message: message.to_string(),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "expected {}, found {unexpected}",
            plainly(expected)
        ))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "expected {}, found {unexpected}",
            plainly(expected)
        ))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = nearest(field, expected.iter().copied());
        if near.is_empty() {
            Self::custom(format_args!(
                "unknown key; there are: {}",
                expected.join(", ")
            ))
        } else {
            Self::custom(format_args!("unknown key{near}"))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let near = nearest(variant, expected.iter().copied());
        Self::custom(format_args!(
            "unknown value `{variant}`{near} (one of: {})",
            expected.join(", ")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        let advice = match field {
            "password_hash" => "; `sendgate hash-password` prints one",
            _ => "",
        };
        Self {
            missing: Some(field),
            ..Self::custom(format_args!("is missing{advice}"))
        }
    }
}

/// What serde expected, in the words of an operator.
fn plainly(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" | "a formatted string" | "path string" => "a text in quotes".to_owned(),
        words if words.starts_with("struct ") || words == "a map" => "a table".to_owned(),
        words if words.starts_with("enum ") => "a text in quotes".to_owned(),
        _ => expected,
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) | Value::Variable(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(yes) => visitor.visit_bool(*yes),
            Value::Datetime => Err(Error::invalid_type(Unexpected::Other("a date"), &visitor)),
            Value::List(nodes) => visitor.visit_seq(Nodes::new(nodes)),
            Value::Table(entries) => visitor.visit_map(Entries::new(entries)),
            Value::Broken => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Variable(text) => match text.trim() {
                "true" | "1" => visitor.visit_bool(true),
                "false" | "0" => visitor.visit_bool(false),
                other => visitor.visit_str(other),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Variable(text) => match text.trim().parse() {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => visitor.visit_str(text),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    /// An empty text turns off what can be left out, also where the default would be something.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) | Value::Variable(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Variable(text) if text.trim_start().starts_with('[') => {
                tree::parse_variable(&self.at, text.trim())
                    .map_err(ReadError::custom)?
                    .deserialize_any(visitor)
            }
            Value::Variable(text) => {
                let nodes: Vec<_> = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Node {
                        at: self.at.clone(),
                        value: Value::Variable(item.to_owned()),
                    })
                    .collect();
                visitor.visit_seq(Nodes::new(&nodes))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Text(text) | Value::Variable(text) => {
                let text: StrDeserializer<'_, ReadError> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// The entries of a list that are not broken.
struct Nodes<'a> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Nodes<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        Self {
            nodes: nodes.iter().enumerate(),
        }
    }
}

impl<'de> SeqAccess<'de> for Nodes<'_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let whole = |(_, node): &(usize, &Node)| !matches!(node.value, Value::Broken);
        match self.nodes.find(whole) {
            None => Ok(None),
            Some((index, node)) => seed
                .deserialize(node)
                .map(Some)
                .map_err(|error| error.within(Step::Index(index))),
        }
    }
}

/// The keys of a table that are not broken.
struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'a> Entries<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        Self {
            entries: entries.iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        self.current = self
            .entries
            .find(|entry| !matches!(entry.node.value, Value::Broken));
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut error| {
            error.at = Some(entry.at.clone());
            error.within(Step::Key(entry.key.clone()))
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        let entry = self
            .current
            .take()
            .ok_or_else(|| ReadError::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.node)
            .map_err(|error| error.within(Step::Key(entry.key.clone())))
    }
}

#[cfg(test)]
mod tests;
