//! Texts through the checkpoint's own tokenizer.

use crate::tokenizer::{TextTokenizer, unreadable};
use crate::{Error, Result};
use planforge_core::{Snapshot, Task, contained};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokenizers::utils::parallelism::set_parallelism;
use tokenizers::{EncodeInput, Tokenizer};

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
    /// The tokens as text; empty for random ones.
    pub tokens: Vec<String>,
    /// For each token of the second text of a pair, its bytes in that text; empty without pairs.
    pub second_spans: Vec<Option<(usize, usize)>>,
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

    /// Text `index` as a batch of its own, without padding.
    #[must_use]
    pub fn one(&self, index: usize) -> Self {
        let row = index * self.sequence..(index + 1) * self.sequence;
        let kept: Vec<bool> = self.attention_mask[row.clone()].iter().map(|&kept| kept != 0).collect();
        let numbers = |values: &[i64]| unpadded(&values[row.clone()], &kept);
        Self {
            batch: 1,
            sequence: kept.iter().filter(|kept| **kept).count(),
            input_ids: numbers(&self.input_ids),
            attention_mask: numbers(&self.attention_mask),
            token_type_ids: numbers(&self.token_type_ids),
            tokens: self.tokens.get(row.clone()).map_or_else(Vec::new, |tokens| unpadded(tokens, &kept)),
            second_spans: self.second_spans.get(row.clone()).map_or_else(Vec::new, |spans| unpadded(spans, &kept)),
        }
    }

    /// The batch with padding up to `sequence` tokens, or as it is where it is that long.
    #[must_use]
    pub fn padded_to(self, sequence: usize) -> Self {
        let own = self.sequence;
        if own >= sequence {
            return self;
        }
        Self {
            batch: self.batch,
            sequence,
            input_ids: padded(&self.input_ids, own, sequence, &0),
            attention_mask: padded(&self.attention_mask, own, sequence, &0),
            token_type_ids: padded(&self.token_type_ids, own, sequence, &0),
            tokens: padded(&self.tokens, own, sequence, &String::new()),
            second_spans: padded(&self.second_spans, own, sequence, &None),
        }
    }
}

/// Rows of `own` elements, each filled up to `sequence`.
fn padded<T: Clone>(rows: &[T], own: usize, sequence: usize, filler: &T) -> Vec<T> {
    let fill = |row: &[T]| row.iter().cloned().chain(std::iter::repeat_n(filler.clone(), sequence - own)).collect();
    rows.chunks(own.max(1)).flat_map(|row| -> Vec<T> { fill(row) }).collect()
}

/// The elements of a row that are not padding.
fn unpadded<T: Clone>(row: &[T], kept: &[bool]) -> Vec<T> {
    row.iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| value.clone()).collect()
}

/// Tokenizes `texts` as `task` has it: after the default prompt of a sentence-transformers model, and each cut to
/// `max_sequence` tokens and to the checkpoint's own limit.
///
/// # Errors
/// A missing, unsupported or damaged tokenizer.
pub fn tokenize(snapshot: &Snapshot, task: Task, texts: &[String], max_sequence: u64) -> Result<TextSample> {
    let tokenizer = TextTokenizer::read(snapshot, task)?;
    let texts = texts.iter().map(|text| EncodeInput::Single(format!("{}{text}", tokenizer.prompt).into()));
    let texts = texts.collect();
    encode(tokenizer, texts, max_sequence)
}

/// Tokenizes pairs of texts, such as a question and the text with its answer; the first of a pair is the first
/// segment, and the longer of the two is cut when they are too long together. A default prompt comes before the first.
///
/// # Errors
/// A missing, unsupported or damaged tokenizer.
pub fn tokenize_pairs(
    snapshot: &Snapshot,
    task: Task,
    pairs: &[(String, String)],
    max_sequence: u64,
) -> Result<TextSample> {
    let tokenizer = TextTokenizer::read(snapshot, task)?;
    let pairs = pairs.iter().map(|(first, second)| {
        EncodeInput::Dual(format!("{}{first}", tokenizer.prompt).into(), second.as_str().into())
    });
    let pairs = pairs.collect();
    encode(tokenizer, pairs, max_sequence)
}

fn encode(mut tokenizer: TextTokenizer, texts: Vec<EncodeInput<'_>>, max_sequence: u64) -> Result<TextSample> {
    let paired = texts.iter().any(|text| matches!(text, EncodeInput::Dual(..)));
    tokenizer.limit(max_sequence, paired)?;
    let TextTokenizer { tokenizer, path, has_token_types, .. } = tokenizer;
    // A panic is caught on this thread alone; samples are few.
    set_parallelism(false);
    let encodings = contained(|| tokenizer.encode_batch(texts, true))
        .map_err(|panic| unreadable(&panic))
        .and_then(|encodings| encodings.map_err(|error| error.to_string()))
        .map_err(|message| Error::Tokenizer { path, message })?;
    let gather = |values: fn(&tokenizers::Encoding) -> &[u32]| {
        encodings.iter().flat_map(|encoding| values(encoding).iter().map(|&value| i64::from(value))).collect()
    };
    let count = encodings.iter().map(tokenizers::Encoding::len).sum();
    Ok(TextSample {
        batch: encodings.len(),
        sequence: encodings.first().map_or(0, tokenizers::Encoding::len),
        input_ids: gather(tokenizers::Encoding::get_ids),
        attention_mask: gather(tokenizers::Encoding::get_attention_mask),
        token_type_ids: if has_token_types { gather(tokenizers::Encoding::get_type_ids) } else { vec![0; count] },
        tokens: encodings.iter().flat_map(|encoding| encoding.get_tokens().iter().cloned()).collect(),
        second_spans: if paired { encodings.iter().flat_map(second_spans).collect() } else { Vec::new() },
    })
}

/// The bytes of each token of a pair's second text in that text.
fn second_spans(encoding: &tokenizers::Encoding) -> Vec<Option<(usize, usize)>> {
    let numbered = encoding.get_sequence_ids().into_iter().zip(encoding.get_offsets());
    numbered.map(|(text, &span)| (text == Some(1)).then_some(span)).collect()
}

/// A tokenizer's words by number.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    mask: Option<String>,
}

/// How models over masked tokens write the mask.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

impl Vocabulary {
    /// The checkpoint's vocabulary.
    ///
    /// # Errors
    /// A missing, unsupported or damaged tokenizer.
    pub fn read(snapshot: &Snapshot, task: Task) -> Result<Self> {
        let TextTokenizer { tokenizer, mask_token, .. } = TextTokenizer::read(snapshot, task)?;
        Ok(Self { tokenizer, mask: mask_token })
    }

    /// Number and text of the token that stands for a word to guess, if there is one.
    #[must_use]
    pub fn mask(&self) -> Option<(i64, &str)> {
        let texts = self.mask.as_deref().into_iter().chain(MASKS);
        texts.filter_map(|text| Some((i64::from(self.tokenizer.token_to_id(text)?), text))).next()
    }

    /// The text of one token.
    #[must_use]
    pub fn word(&self, number: usize) -> String {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let decoded = self.tokenizer.decode(&[number], false).ok().filter(|text| !text.is_empty());
        let word = decoded.or_else(|| self.tokenizer.id_to_token(number));
        word.unwrap_or_else(|| format!("token {number}")).trim().to_owned()
    }
}

/// A batch of texts that mean nothing: `sequence` tokens each, drawn from the whole vocabulary between the
/// tokens that frame every text. Unlike a few sentences over and over, they touch as much of the
/// embedding table as varied traffic does. Equal seeds give equal tokens in one version of planforge.
///
/// # Errors
/// A missing, unsupported or damaged tokenizer.
pub fn random_texts(snapshot: &Snapshot, task: Task, batch: usize, sequence: usize, seed: u64) -> Result<TextSample> {
    let TextTokenizer { tokenizer, path, .. } = TextTokenizer::read(snapshot, task)?;
    let fail = |error: tokenizers::Error| Error::Tokenizer { path: path.clone(), message: error.to_string() };
    let words = plain_words(&tokenizer);
    if words.is_empty() {
        return Err(fail("its vocabulary is empty".into()));
    }
    let (opening, closing) = frame(&tokenizer, sequence).map_err(fail)?;
    let inner = sequence - opening.len() - closing.len();
    let mut generator = StdRng::seed_from_u64(seed);
    let mut input_ids = Vec::with_capacity(batch * sequence);
    for _ in 0..batch {
        input_ids.extend(&opening);
        input_ids.extend((0..inner).map(|_| words[generator.random_range(0..words.len())]));
        input_ids.extend(&closing);
    }
    let count = input_ids.len();
    let (attention_mask, token_type_ids) = (vec![1; count], vec![0; count]);
    Ok(TextSample {
        batch,
        sequence,
        input_ids,
        attention_mask,
        token_type_ids,
        tokens: Vec::new(),
        second_spans: Vec::new(),
    })
}

/// Numbers of all tokens but the special ones, in order.
fn plain_words(tokenizer: &Tokenizer) -> Vec<i64> {
    let special = tokenizer.get_added_tokens_decoder();
    let words = tokenizer.get_vocab(false).into_values().filter(|number| !special.contains_key(number));
    let mut words: Vec<i64> = words.map(i64::from).collect();
    words.sort_unstable();
    words
}

/// The tokens before and after every text, at most `sequence` of them.
fn frame(tokenizer: &Tokenizer, sequence: usize) -> tokenizers::Result<(Vec<i64>, Vec<i64>)> {
    let empty = contained(|| tokenizer.encode("", true)).map_err(|panic| unreadable(&panic))??;
    let tokens = empty.get_ids().iter().zip(empty.get_attention_mask());
    let mut opening: Vec<i64> = tokens.filter(|(_, kept)| **kept != 0).map(|(number, _)| i64::from(*number)).collect();
    opening.truncate(sequence);
    let closing = opening.split_off(opening.len().div_ceil(2));
    Ok((opening, closing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, digest_bytes};
    use std::collections::BTreeSet;

    const TASK: Task = Task::FeatureExtraction;

    fn snapshot(folder: &std::path::Path) -> Snapshot {
        planforge_testkit::TinyBert::default().write(folder).unwrap();
        let file = |path: &str| ArtifactFile { path: path.to_owned(), byte_count: 0, sha256: digest_bytes(b"") };
        let local = || "local".to_owned();
        Snapshot {
            repo: local(),
            revision: local(),
            commit: planforge_core::Commit::Local,
            directory: folder.to_owned(),
            files: vec![file("config.json"), file("tokenizer.json")],
            graphs: Vec::new(),
        }
    }

    #[test]
    fn texts_are_padded_to_the_longest_and_cut_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["the cat".to_owned(), "a small dog ran on".to_owned()];
        let sample = tokenize(&snapshot(folder.path()), TASK, &texts, 64).unwrap();
        assert_eq!((sample.batch, sample.sequence), (2, 7));
        assert_eq!(sample.attention_mask, [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(sample.input_ids[4..7], [0, 0, 0]);
        assert_eq!(tokenize(&snapshot(folder.path()), TASK, &texts, 5).unwrap().sequence, 5);
    }

    #[test]
    fn random_texts_are_framed_and_never_hold_special_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = snapshot(folder.path());
        let sample = random_texts(&snapshot, TASK, 3, 16, 7).unwrap();
        assert_eq!(sample.input_ids.len(), 48);
        for text in sample.input_ids.chunks(16) {
            assert_eq!((text[0], text[15]), (2, 3));
            assert!(text[1..15].iter().all(|&token| token >= 5));
        }
        let distinct: BTreeSet<_> = sample.input_ids.iter().collect();
        assert!(distinct.len() > 15, "{distinct:?}");
        assert_eq!(random_texts(&snapshot, TASK, 3, 16, 7).unwrap(), sample);
        assert_ne!(random_texts(&snapshot, TASK, 3, 16, 8).unwrap(), sample);
        assert_eq!(random_texts(&snapshot, TASK, 1, 1, 7).unwrap().input_ids, [2]);
    }
}
