//! What tests need and nothing else: where the parts lie that `scripts/setup` brings, a Hub, a Triton and an S3 server,
//! a proxy that fails, stand-ins for a GPU, and checkpoints small enough to be made on the spot.

mod gpu;
mod hub;
mod isolated;
mod notes;
mod parts;
mod proxy;
mod s3;
mod tiny_bert;
mod triton;

pub use gpu::{gpu_stand_ins, on_gpu_stand_ins, stand_in_engine, stand_in_weights};
pub use hub::{Access, Fault, HubOptions, Lie, Rule, Seen, TestHub};
pub use isolated::isolated;
pub use notes::Notes;
pub use parts::{native, repository, sample_hub};
pub use proxy::{FaultyProxy, ProxyFault};
pub use s3::{ADMIN, READER, S3Server, WRITER};
pub use tiny_bert::TinyBert;
pub use triton::{Answer, TritonConnection, TritonOptions, TritonServer};
