//! Sample inputs: texts through the checkpoint's own tokenizer.

use crate::checkpoint::read_json;
use crate::{Error, Result};
use planforge_core::Snapshot;
use serde::{Deserialize, Serialize};
use tokenizers::{PaddingStrategy, Tokenizer, TruncationParams};

const TOKENIZER: &str = "tokenizer.json";

/// A batch of tokenized texts, padded to the longest: every list has `batch * sequence` elements in
/// row-major order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSample {
    /// Number of texts.
    pub batch: usize,
    /// Tokens of the longest.
    pub sequence: usize,
    /// Token numbers.
    pub input_ids: Vec<i64>,
    /// 1 for a token, 0 for padding.
    pub attention_mask: Vec<i64>,
    /// Segment numbers.
    pub token_type_ids: Vec<i64>,
}

impl TextSample {
    /// The values of the model input `name`, if tokenization gives them.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<&[i64]> {
        match name {
            "input_ids" => Some(&self.input_ids),
            "attention_mask" => Some(&self.attention_mask),
            "token_type_ids" => Some(&self.token_type_ids),
            _ => None,
        }
    }
}

/// Tokenizes `texts`, each cut to `max_sequence` tokens and to the checkpoint's own limit.
///
/// # Errors
/// A missing or damaged `tokenizer.json`.
pub fn tokenize(snapshot: &Snapshot, texts: &[String], max_sequence: u64) -> Result<TextSample> {
    let path = snapshot
        .path(TOKENIZER)
        .ok_or_else(|| Error::MissingFile { repo: snapshot.repo.clone(), file: TOKENIZER.to_owned() })?;
    let fail = |error: tokenizers::Error| Error::Tokenizer { path: path.clone(), message: error.to_string() };
    let mut tokenizer = Tokenizer::from_file(&path).map_err(fail)?;
    let max_length =
        usize::try_from(sentence_limit(snapshot)?.unwrap_or(u64::MAX).min(max_sequence)).unwrap_or(usize::MAX);
    tokenizer.with_truncation(Some(TruncationParams { max_length, ..TruncationParams::default() })).map_err(fail)?;
    // The file may ask for a fixed length; a batch here is as long as its longest text.
    let mut padding = tokenizer.get_padding().cloned().unwrap_or_default();
    padding.strategy = PaddingStrategy::BatchLongest;
    tokenizer.with_padding(Some(padding));
    let encodings = tokenizer.encode_batch(texts.to_vec(), true).map_err(fail)?;
    let gather = |values: fn(&tokenizers::Encoding) -> &[u32]| {
        encodings.iter().flat_map(|encoding| values(encoding).iter().map(|&value| i64::from(value))).collect()
    };
    Ok(TextSample {
        batch: encodings.len(),
        sequence: encodings.first().map_or(0, tokenizers::Encoding::len),
        input_ids: gather(tokenizers::Encoding::get_ids),
        attention_mask: gather(tokenizers::Encoding::get_attention_mask),
        token_type_ids: gather(tokenizers::Encoding::get_type_ids),
    })
}

/// `max_seq_length` of a sentence-transformers checkpoint.
fn sentence_limit(snapshot: &Snapshot) -> Result<Option<u64>> {
    const FILE: &str = "sentence_bert_config.json";
    #[derive(Deserialize)]
    struct SentenceConfig {
        max_seq_length: Option<u64>,
    }
    if snapshot.file(FILE).is_none() {
        return Ok(None);
    }
    Ok(read_json::<SentenceConfig>(snapshot, FILE)?.max_seq_length)
}
