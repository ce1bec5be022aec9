//! What tests need and nothing else: where the parts are that `scripts/setup` brings, a Hub, a Triton and an S3 server,
//! a proxy that fails, fakes of a GPU, and checkpoints small enough to be made on the spot.

mod cases;
mod generated;
mod gpu;
mod hub;
mod isolated;
mod log;
mod parts;
mod proxy;
mod records;
mod s3;
mod tiny_bert;
mod triton;

pub use cases::{CaseKind, FixtureCase, fixture_cases};
pub use generated::check_generated;
pub use gpu::{build_fake_gpu, fake_engine, fake_weights, on_fake_gpu};
pub use hub::{Access, Fault, HubOptions, Mirror, Rule, Seen, Tags, TestHub, WrongResponse};
pub use isolated::isolated;
pub use log::Log;
pub use parts::{native, repository, sample_hub};
pub use proxy::{FaultyProxy, ProxyFault};
pub use records::{engine_record, model_name, model_record, profiles, stored};
pub use s3::{ADMIN, READER, S3Server, WRITER};
pub use tiny_bert::TinyBert;
pub use triton::{Answer, TritonConnection, TritonOptions, TritonServer};
