//! A checkpoint's tokenizer, as transformers builds it from what the snapshot has.
//!
//! The class of a tokenizer decides how texts are normalised and split, and which tokens frame them; its settings are in
//! `tokenizer_config.json`. The vocabulary comes from `tokenizer.json`, else from `vocab.txt`, `vocab.json` and `merges.txt`,
//! or `sentencepiece.bpe.model`. A `tokenizer.json` is taken whole for tokenizers without a class of their own.
//!
//! Reference: `AutoTokenizer.from_pretrained` of transformers 5.23.

mod build;
mod class;
mod files;
mod sentencepiece;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod vocabulary;

pub use text::missing_tokenizer;
pub(crate) use text::{TextTokenizer, pads_left, unreadable};
