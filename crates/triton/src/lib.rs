//! `libtriton_planforge.so`: a backend of NVIDIA's Triton Inference Server that runs planforge's packages with the
//! `runtime` crate.
//!
//! The server opens the library and calls the functions of `ffi::entry`, in this order: once for the backend, once for
//! each model (`model`), once for each instance of it (`instance`), and then `execute` with the requests that it
//! has gathered, which `batch` puts together and takes apart again. One model has no file to run: `metrics` tells of the
//! server itself. Only `ffi` knows the server's C interface.

mod batch;
mod config;
mod error;
mod execute;
mod ffi;
mod instance;
mod library;
mod metrics;
mod model;
mod native;
mod settings;

use error::{Error, Result};
