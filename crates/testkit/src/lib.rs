//! What tests need and nothing else: where the parts lie that `scripts/setup` brings, and checkpoints small
//! enough to be made on the spot.

mod hub;
mod parts;
mod tiny_bert;

pub use hub::TestHub;
pub use parts::{native, repository, sample_hub};
pub use tiny_bert::TinyBert;
