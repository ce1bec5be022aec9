//! Behaviour through the binary.
