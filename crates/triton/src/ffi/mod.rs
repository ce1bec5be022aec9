//! The border to the server's C interface: the only module with unsafe code. What it hands to the rest of the crate is
//! safe to use, and no panic leaves it.
#![expect(unsafe_code, reason = "the server's interface is in C")]

mod entry;
mod functions;
mod handles;
mod log;
mod request;
mod server;
