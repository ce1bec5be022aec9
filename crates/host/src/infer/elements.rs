//! Tensor elements: from JSON numbers, flat or nested, and from raw little-endian bytes.
//!
//! A value that its type cannot hold is an error, never rounded to an integer or wrapped. Integers
//! and decimals become the nearest binary32, binary16 or bfloat16.

use super::json_numbers::special_number;
use half::{bf16, f16};
use planforge_core::DataType;
use planforge_runtime::TensorValues;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The elements of a JSON list, nested lists opened up, which must be `expected_count`.
///
/// # Errors
/// What is wrong with the list, as the end of a sentence about it.
pub(crate) fn from_json(data: &RawValue, data_type: DataType, expected_count: usize) -> Result<TensorValues, String> {
    Ok(match data_type {
        DataType::Fp32 => TensorValues::Fp32(collect(data, expected_count)?),
        DataType::Fp16 => TensorValues::Fp16(collect(data, expected_count)?),
        DataType::Bf16 => TensorValues::Bf16(collect(data, expected_count)?),
        DataType::Int64 => TensorValues::Int64(collect(data, expected_count)?),
        DataType::Int32 => TensorValues::Int32(collect(data, expected_count)?),
        DataType::Bool => TensorValues::Bool(collect(data, expected_count)?),
    })
}

/// Looks at a list of numbers of binary64, which no model here takes.
///
/// # Errors
/// As [`from_json`].
pub(crate) fn check_floats(data: &RawValue, expected_count: usize) -> Result<(), String> {
    collect::<f64>(data, expected_count).map(drop)
}

/// The elements of raw bytes. A last incomplete element is left out; callers have checked the length.
pub(crate) fn from_bytes(bytes: &[u8], data_type: DataType) -> TensorValues {
    match data_type {
        DataType::Fp32 => TensorValues::Fp32(words(bytes).map(f32::from_le_bytes).collect()),
        DataType::Fp16 => TensorValues::Fp16(words(bytes).map(f16::from_le_bytes).collect()),
        DataType::Bf16 => TensorValues::Bf16(words(bytes).map(bf16::from_le_bytes).collect()),
        DataType::Int64 => TensorValues::Int64(words(bytes).map(i64::from_le_bytes).collect()),
        DataType::Int32 => TensorValues::Int32(words(bytes).map(i32::from_le_bytes).collect()),
        DataType::Bool => TensorValues::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
    }
}

/// Appends elements as raw bytes.
pub(crate) fn append_bytes(values: &TensorValues, bytes: &mut Vec<u8>) {
    match values {
        TensorValues::Fp32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Fp16(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Bf16(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Int64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Int32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorValues::Bool(values) => bytes.extend(values.iter().map(|&value| u8::from(value))),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// An element type and the JSON values it can hold.
trait Element: Sized {
    const NAME: &str;
    fn from_signed(_: i64) -> Option<Self> {
        None
    }
    fn from_unsigned(_: u64) -> Option<Self> {
        None
    }
    fn from_float(_: f64) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    /// Not a number, or infinite.
    fn from_special(_: f64) -> Option<Self> {
        None
    }
}

impl Element for i64 {
    const NAME: &str = "INT64";
    fn from_signed(value: i64) -> Option<Self> {
        Some(value)
    }
    fn from_unsigned(value: u64) -> Option<Self> {
        value.try_into().ok()
    }
}

impl Element for i32 {
    const NAME: &str = "INT32";
    fn from_signed(value: i64) -> Option<Self> {
        value.try_into().ok()
    }
    fn from_unsigned(value: u64) -> Option<Self> {
        value.try_into().ok()
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the nearest binary32 is what is meant"
)]
impl Element for f32 {
    const NAME: &str = "FP32";
    fn from_signed(value: i64) -> Option<Self> {
        Some(value as Self)
    }
    fn from_unsigned(value: u64) -> Option<Self> {
        Some(value as Self)
    }
    fn from_float(value: f64) -> Option<Self> {
        Some(value as Self).filter(|value| value.is_finite())
    }
    fn from_special(value: f64) -> Option<Self> {
        Some(value as Self)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest binary64 is what is meant")]
impl Element for f64 {
    const NAME: &str = "FP64";
    fn from_signed(value: i64) -> Option<Self> {
        Some(value as Self)
    }
    fn from_unsigned(value: u64) -> Option<Self> {
        Some(value as Self)
    }
    fn from_float(value: f64) -> Option<Self> {
        Some(value)
    }
    fn from_special(value: f64) -> Option<Self> {
        Some(value)
    }
}

/// A type of 16 bits. What would be infinite in it is no value of it.
macro_rules! half_element {
    ($half:ty, $name:literal) => {
        #[expect(clippy::cast_precision_loss, reason = "the nearest value of 16 bits is what is meant")]
        impl Element for $half {
            const NAME: &str = $name;
            fn from_signed(value: i64) -> Option<Self> {
                Self::from_float(value as f64)
            }
            fn from_unsigned(value: u64) -> Option<Self> {
                Self::from_float(value as f64)
            }
            fn from_float(value: f64) -> Option<Self> {
                Some(Self::from_f64(value)).filter(|value| value.is_finite())
            }
            fn from_special(value: f64) -> Option<Self> {
                Some(Self::from_f64(value))
            }
        }
    };
}

half_element!(f16, "FP16");
half_element!(bf16, "BF16");

impl Element for bool {
    const NAME: &str = "BOOL";
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

fn collect<T: Element>(data: &RawValue, expected_count: usize) -> Result<Vec<T>, String> {
    // Two bytes of text are the least that an element takes, which bounds what a false shape can claim.
    let capacity = expected_count.min(data.get().len() / 2 + 1);
    let mut collector =
        Collector { elements: Vec::with_capacity(capacity), expected_count, text: data.get(), mistake: None };
    if !data.get().starts_with('[') {
        return Err("it is not a list".to_owned());
    }
    let read = Sink(&mut collector).deserialize(&mut serde_json::Deserializer::from_str(data.get()));
    match (read, collector.mistake) {
        (Err(_), Some(mistake)) => Err(mistake),
        (Err(error), None) => Err(error.to_string()),
        (Ok(()), _) if collector.elements.len() == expected_count => Ok(collector.elements),
        (Ok(()), _) => Err(COUNT_MISTAKE.to_owned()),
    }
}

/// Triton's words for a number of elements that is not the product of the shape.
const COUNT_MISTAKE: &str = "Shape does not match true shape of 'data' field";

struct Collector<'a, T> {
    elements: Vec<T>,
    expected_count: usize,
    /// The list.
    text: &'a str,
    /// Kept here because the reader's own errors add a position within this list only.
    mistake: Option<String>,
}

impl<T: Element> Collector<'_, T> {
    fn take<E: serde::de::Error>(&mut self, element: Option<T>, value: impl fmt::Display) -> Result<(), E> {
        match element {
            Some(_) if self.elements.len() == self.expected_count => Err(self.fail(COUNT_MISTAKE.to_owned())),
            Some(element) => {
                self.elements.push(element);
                Ok(())
            }
            None => {
                let index = self.elements.len();
                Err(self.fail(format!("element {index} is {value}, which is no {}", T::NAME)))
            }
        }
    }

    fn fail<E: serde::de::Error>(&mut self, mistake: String) -> E {
        self.mistake = Some(mistake);
        E::custom("")
    }
}

/// Whether a list has a `-0.0`, in any form.
fn has_decimal_zero(list: &str) -> bool {
    ["-0.", "-0e", "-0E"].iter().any(|zero| list.contains(zero))
}

/// Reads one element, or a list of what it reads itself.
struct Sink<'a, 't, T>(&'a mut Collector<'t, T>);

impl<'de, T: Element> DeserializeSeed<'de> for Sink<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Sink<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list", T::NAME)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.take(T::from_bool(value), value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.0.take(T::from_signed(value), value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.0.take(T::from_unsigned(value), value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        // -0 is a whole number to Triton, and not to the reader used here; -0.0 is none to both.
        let is_integer = T::from_float(value).is_none();
        if value == 0.0 && value.is_sign_negative() && is_integer && !has_decimal_zero(self.0.text) {
            return self.0.take(T::from_signed(0), value);
        }
        self.0.take(T::from_float(value), format_args!("{value:?}"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        match special_number(value) {
            Some(number) => self.0.take(T::from_special(number), number),
            None => self.0.take(None, format_args!("{value:?}")),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.take(None, "null")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.0.take(None, "an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Sink(self.0))?.is_some() {}
        Ok(())
    }
}
