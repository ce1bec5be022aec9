//! From the bytes of a file to its messages.

use crate::messages::MODEL_PROTO;
use crate::unknown_fields::check_fields;
use crate::{ModelProto, Result};
use prost::Message;

/// The model in an ONNX file, for reading: fields of later versions of ONNX are skipped.
///
/// # Errors
/// [`crate::Error::Decode`].
pub fn parse_model(bytes: &[u8]) -> Result<ModelProto> {
    Ok(ModelProto::decode(bytes)?)
}

/// The model in an ONNX file, for changing it and encoding it again, which keeps all that is in the file.
///
/// # Errors
/// [`crate::Error::Decode`], and [`crate::Error::UnknownField`] for what encoding would lose.
pub fn parse_editable_model(bytes: &[u8]) -> Result<ModelProto> {
    let model = ModelProto::decode(bytes)?;
    // After decoding, which limits how deep messages are nested.
    check_fields(&MODEL_PROTO, bytes)?;
    Ok(model)
}
