//! The fields that each message has.

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
