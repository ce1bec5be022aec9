//! What stores answer that do not know all of S3.

use planforge_store::Error;

/// Codes of requests, or of headers in them, that a store does not know.
const UNSUPPORTED: [&str; 10] = [
    "BadRequest",
    "InvalidArgument",
    "InvalidHeader",
    "InvalidRequest",
    "MalformedXML",
    "MethodNotAllowed",
    "MissingContentMD5",
    "NotImplemented",
    "NotSupported",
    "UnsupportedOperation",
];

/// Whether the store may not know what it was asked for. Answers to `HEAD`, and those of some stores, have no code.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    let Error::Request { code, reason, .. } = error else { return false };
    match code {
        Some(code) => UNSUPPORTED.contains(&code.as_str()),
        None => ["status 400", "status 405", "status 411", "status 501"].contains(&reason.as_str()),
    }
}
