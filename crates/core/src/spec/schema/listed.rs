//! The schema of enumerations that other crates define.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::marker::PhantomData;

/// Stands in a schema for `T`, an enumeration without data whose names serde knows.
pub(crate) struct Listed<T>(PhantomData<T>);

impl<T: for<'de> Deserialize<'de>> JsonSchema for Listed<T> {
    fn schema_name() -> Cow<'static, str> {
        std::any::type_name::<T>().rsplit("::").next().unwrap_or_default().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = variants::<T>().iter().map(|name| json!({ "type": "string", "const": name }));
        json_schema!({ "oneOf": names.collect::<Vec<Value>>() })
    }
}

/// Names of the variants of `T`.
fn variants<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // Reading fails by intention, once the names are known.
    let _ = T::deserialize(VariantNames(&mut found));
    found
}

/// A deserializer that notes the names of an enumeration and then fails.
struct VariantNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(Self::Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not an enumeration"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
