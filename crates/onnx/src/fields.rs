//! The fields that each message has, to find those that it does not have.

use crate::{Error, Result};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The fields of one message.
pub(crate) struct Fields {
    pub(crate) message: &'static str,
    pub(crate) fields: &'static [Field],
}

/// One field, and the message that it holds, if it holds one.
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) holds: Option<&'static Fields>,
}

impl Fields {
    /// Whether `bytes`, an encoding of the message, has only fields of the message, and so have the messages in it.
    ///
    /// # Errors
    /// [`Error::UnknownField`] for the first other field, and [`Error::Decode`].
    pub(crate) fn check(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes)?;
            let field = self.fields.iter().find(|field| field.number == number);
            let field = field.ok_or(Error::UnknownField { message: self.message, number })?;
            match field.holds {
                Some(held) if wire_type == WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes)?;
                    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
                    let (inner, rest) = bytes.split_at(length);
                    held.check(inner)?;
                    bytes = rest;
                }
                _ => skip_field(wire_type, number, &mut bytes, DecodeContext::default())?,
            }
        }
        Ok(())
    }
}
