//! Token numbers for checkpoints without a tokenizer.

use super::text::TextSample;
use crate::Result;
use crate::json::{in_folder, read_json_if_there};
use crate::sentence::encoder_folder;
use planforge_core::{Snapshot, Task};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

/// Token numbers that every model has, where the configuration does not say how many there are.
const FEW: i64 = 1000;

/// A batch of texts of these `lengths` in tokens, drawn from the whole vocabulary but for padding, and padded to the longest.
/// Equal seeds give equal tokens in one version of planforge.
///
/// # Errors
/// A `config.json` that cannot be read.
pub fn random_tokens(snapshot: &Snapshot, task: Task, lengths: &[usize], seed: u64) -> Result<TextSample> {
    let file = in_folder(&encoder_folder(snapshot, task)?, "config.json");
    let config: Value = read_json_if_there(snapshot, &file)?.unwrap_or_default();
    let number = |key: &str| config.get(key).and_then(Value::as_i64);
    let size = number("vocab_size").filter(|&size| size > 1).unwrap_or(FEW);
    let padding = number("pad_token_id").filter(|padding| (0..size).contains(padding)).unwrap_or(0);
    let sequence = lengths.iter().copied().max().unwrap_or(0);
    let mut generator = StdRng::seed_from_u64(seed);
    let (mut input_ids, mut attention_mask) = (Vec::new(), Vec::new());
    for &length in lengths {
        let words = (0..length).map(|_| {
            let word = generator.random_range(0..size - 1);
            if word < padding { word } else { word + 1 }
        });
        input_ids.extend(words.chain(std::iter::repeat_n(padding, sequence - length)));
        attention_mask.extend((0..sequence).map(|place| i64::from(place < length)));
    }
    Ok(TextSample {
        batch: lengths.len(),
        sequence,
        token_type_ids: vec![0; input_ids.len()],
        input_ids,
        attention_mask,
        tokens: Vec::new(),
        second_spans: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, digest_bytes};

    #[test]
    fn tokens_are_of_the_vocabulary_and_never_padding() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("config.json"), r#"{"vocab_size": 7, "pad_token_id": 1}"#).unwrap();
        let config = ArtifactFile { path: "config.json".to_owned(), byte_count: 0, sha256: digest_bytes(b"") };
        let snapshot = Snapshot {
            repo: "local".to_owned(),
            revision: "local".to_owned(),
            commit: planforge_core::Commit::Local,
            directory: folder.path().to_owned(),
            files: vec![config],
            graphs: Vec::new(),
        };
        let sample = random_tokens(&snapshot, Task::FillMask, &[40, 3], 5).unwrap();
        assert_eq!((sample.batch, sample.sequence), (2, 40));
        assert!(sample.input_ids[..43].iter().all(|id| [0, 2, 3, 4, 5, 6].contains(id)), "{:?}", sample.input_ids);
        assert!(sample.input_ids[43..].iter().all(|&id| id == 1));
        assert_eq!(sample.attention_mask.iter().sum::<i64>(), 43);
        assert_eq!(sample.one(1).input_ids, sample.input_ids[40..43]);
        assert_eq!(random_tokens(&snapshot, Task::FillMask, &[40, 3], 5).unwrap(), sample);
        assert_ne!(random_tokens(&snapshot, Task::FillMask, &[40, 3], 6).unwrap(), sample);
    }
}
