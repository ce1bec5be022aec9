//! A search for fields that only a later version of ONNX has.

use crate::fields::Fields;
use crate::{Error, Result};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Checks that `bytes`, an encoding of the message, has only fields of the message, and so have the messages in it.
///
/// # Errors
/// [`Error::UnknownField`] for the first other field, and [`Error::Decode`].
pub(crate) fn check_fields(message: &Fields, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        let field = message.fields.iter().find(|field| field.number == number);
        let field = field.ok_or(Error::UnknownField { message: message.message, number })?;
        match field.holds {
            Some(held) if wire_type == WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
                let (inner, rest) = bytes.split_at(length);
                check_fields(held, inner)?;
                bytes = rest;
            }
            _ => skip_field(wire_type, number, &mut bytes, DecodeContext::default())?,
        }
    }
    Ok(())
}
