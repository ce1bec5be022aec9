//! Sample inputs: texts through the checkpoint's own tokenizer, images through its own preprocessing.

mod batch;
mod image;
mod preprocessing;
mod tensors;
mod text;
mod values;

pub use batch::Sample;
pub use image::{ImageSample, random_images, read_images};
pub use tensors::{TensorSample, random_tensors};
pub use text::{TextSample, Vocabulary, random_texts, tokenize, tokenize_pairs};
pub use values::SampleValues;
