//! The readable start of a serialized TensorRT-RTX engine.
//!
//! It begins with `vtrt`. Byte 24 holds the library version in four bytes, byte 32 a little-endian mask of the compute
//! capabilities the engine runs on. The layout is not documented; it was found by comparing engines
//! built for every target by version 1.7.1.116 and is checked against what was asked at each build.

use crate::{Error, Result};
use planforge_types::ComputeCapability;

const START: &[u8] = b"vtrt";
const VERSION: usize = 24;
const CAPABILITIES: usize = 32;

/// Bit of the mask, and the compute capability it stands for.
const BITS: [(u32, ComputeCapability); 6] = [
    (0, ComputeCapability::new(7, 5)),
    (1, ComputeCapability::new(8, 0)),
    (2, ComputeCapability::new(8, 6)),
    (3, ComputeCapability::new(8, 9)),
    (4, ComputeCapability::new(12, 0)),
    (5, ComputeCapability::new(12, 1)),
];

/// The header's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Library version: major, minor, patch, build.
    pub version: [u8; 4],
    /// Compute capabilities, ascending.
    pub compute_capabilities: Vec<ComputeCapability>,
}

/// Reads the header of an engine.
///
/// # Errors
/// [`Error::Header`] for bytes that begin otherwise, are too short, or carry no known target.
pub fn read_header(engine: &[u8]) -> Result<Header> {
    if !engine.starts_with(START) {
        return Err(Error::Header("it does not begin like one"));
    }
    let read = |at: usize| engine.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let version = read(VERSION).ok_or(Error::Header("it is shorter than a header"))?;
    let mask = read(CAPABILITIES).map(u32::from_le_bytes).ok_or(Error::Header("it is shorter than a header"))?;
    let compute_capabilities: Vec<_> =
        BITS.iter().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, capability)| *capability).collect();
    if compute_capabilities.is_empty() {
        return Err(Error::Header("it names no known compute capability"));
    }
    Ok(Header { version, compute_capabilities })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_or_foreign_bytes_are_refused() {
        let reason = |bytes: &[u8]| read_header(bytes).unwrap_err().to_string();
        assert!(reason(b"vtrt and no more").ends_with("it is shorter than a header"));
        assert!(reason(&[1; 64]).ends_with("it does not begin like one"));
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(START);
        assert!(reason(&bytes).ends_with("it names no known compute capability"));
        bytes[VERSION..VERSION + 4].copy_from_slice(&[1, 7, 1, 116]);
        bytes[CAPABILITIES] = 0b1100;
        let compute_capabilities = vec![ComputeCapability::new(8, 6), ComputeCapability::new(8, 9)];
        let header = Header { version: [1, 7, 1, 116], compute_capabilities };
        assert_eq!(read_header(&bytes).unwrap(), header);
    }
}
