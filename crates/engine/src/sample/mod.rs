//! Sample inputs: texts through the checkpoint's own tokenizer, or random tokens where it has none; images through its own
//! preprocessing.

mod batch;
mod image;
mod preprocessing;
mod random_tokens;
mod resample;
mod tensors;
mod text;
mod tokens;
mod truncation;
mod values;

pub use batch::Sample;
pub use image::{ImageSample, random_images, read_images};
pub use random_tokens::random_tokens;
pub use tensors::{TensorSample, random_tensors};
pub use text::{TextSample, Vocabulary, random_texts, tokenize, tokenize_pairs};
pub use tokens::{fixed_length, is_token_input};
pub use values::SampleValues;
