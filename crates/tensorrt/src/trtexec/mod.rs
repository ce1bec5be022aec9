//! NVIDIA's `trtexec`: plans of classic TensorRT, which Triton's `tensorrt` backend loads.
//!
//! The tool builds for the GPU of the machine it runs on, and its options change between versions; sources for both are
//! `samples/trtexec` and `samples/common/sampleOptions.cpp` of NVIDIA/TensorRT at the tags v8.6.1 to v11.1.

mod command;
mod run;
mod version;

pub use command::{PlanRequest, PlanType, plan_arguments};
pub use run::{BuiltPlan, build_plan};
pub use version::{TrtexecVersion, trtexec_version};
