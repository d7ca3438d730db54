//! One *object* of JSON holds all fields, in a store that knows values only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{CodecError, Field, Unreadable};

/// All fields as one JSON object, for a store that knows values only.
///
/// # Errors
/// Never for what [`encode`] made.
pub(in crate::store) fn encode_object(fields: Vec<Field>) -> Result<Vec<u8>, CodecError> {
    let object: BTreeMap<String, String> = fields.into_iter().collect();
    serde_json::to_vec(&object).map_err(|error| CodecError(error.to_string()))
}

/// The fields in such an object, in their order.
///
/// # Errors
/// When the value is anything else.
pub(in crate::store) fn decode_object(
    value: &[u8],
) -> Result<Vec<(FieldText<'_>, FieldText<'_>)>, CodecError> {
    let fields: Fields<'_> = serde_json::from_slice(value)
        .map_err(|error| CodecError::of("record", Unreadable::from(&error)))?;
    Ok(fields.0)
}

/// Name or value of a field of an object. One without escapes is not copied: millions are read after
/// a start.
#[derive(Deserialize)]
pub(in crate::store) struct FieldText<'a>(#[serde(borrow)] Cow<'a, str>);

/// All fields of an object.
struct Fields<'a>(Vec<(FieldText<'a>, FieldText<'a>)>);

struct FieldsVisitor;

impl AsRef<[u8]> for FieldText<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
