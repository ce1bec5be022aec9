//! `<n>_Pooling/config.json`: how the vectors of a text's tokens become one.

use crate::Result;
use crate::json::{file_error, in_folder, read_json};
use crate::ops::PoolingMode;
use planforge_core::Snapshot;
use serde::Deserialize;

/// The file. Its keys are those of the reference's constructor, which takes no others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    #[serde(alias = "word_embedding_dimension")]
    embedding_dimension: Option<usize>,
    pooling_mode: Option<ModeOrModes>,
    pooling_mode_cls_token: Option<bool>,
    pooling_mode_max_tokens: Option<bool>,
    pooling_mode_mean_tokens: Option<bool>,
    pooling_mode_mean_sqrt_len_tokens: Option<bool>,
    pooling_mode_weightedmean_tokens: Option<bool>,
    pooling_mode_lasttoken: Option<bool>,
    include_prompt: Option<bool>,
}

/// `pooling_mode` of sentence-transformers 5.4 and later.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`pooling_mode`: expected cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, or a list of them"
)]
enum ModeOrModes {
    One(PoolingMode),
    Several(Vec<PoolingMode>),
}

/// A pooling module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pooling {
    /// The vectors that are joined, in order; at least one.
    pub(crate) modes: Vec<PoolingMode>,
    /// Width of a token's vector, where the file has it.
    pub(crate) width: Option<usize>,
    /// Whether the tokens of a prompt count.
    pub(crate) include_prompt: bool,
}

impl Pooling {
    /// The pooling module of a folder.
    ///
    /// # Errors
    /// A missing file, keys or values that the reference does not take.
    pub(crate) fn read(snapshot: &Snapshot, folder: &str) -> Result<Self> {
        let file = in_folder(folder, "config.json");
        let config: Config = read_json(snapshot, &file)?;
        let modes = config.modes();
        if modes.is_empty() {
            return Err(file_error(snapshot, &file, "`pooling_mode` is empty".to_owned()));
        }
        Ok(Self { modes, width: config.embedding_dimension, include_prompt: config.include_prompt.unwrap_or(true) })
    }
}

impl Config {
    /// `pooling_mode` where it is there, else the flags that are set, in the order in which the reference joins their
    /// vectors, else the mean.
    fn modes(&self) -> Vec<PoolingMode> {
        match &self.pooling_mode {
            Some(ModeOrModes::One(mode)) => return vec![*mode],
            Some(ModeOrModes::Several(modes)) => return modes.clone(),
            None => {}
        }
        let flags = [
            (self.pooling_mode_cls_token, PoolingMode::FirstToken),
            (self.pooling_mode_max_tokens, PoolingMode::Max),
            (self.pooling_mode_mean_tokens, PoolingMode::Mean),
            (self.pooling_mode_mean_sqrt_len_tokens, PoolingMode::MeanSqrtLength),
            (self.pooling_mode_weightedmean_tokens, PoolingMode::WeightedMean),
            (self.pooling_mode_lasttoken, PoolingMode::LastToken),
        ];
        let set: Vec<PoolingMode> =
            flags.iter().filter(|(flag, _)| *flag == Some(true)).map(|&(_, mode)| mode).collect();
        if set.is_empty() { vec![PoolingMode::Mean] } else { set }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PoolingMode::{FirstToken, LastToken, Max, Mean, MeanSqrtLength, WeightedMean};

    fn modes(text: &str) -> Vec<PoolingMode> {
        serde_json::from_str::<Config>(text).unwrap().modes()
    }

    #[test]
    fn flags_and_names_say_the_same() {
        assert_eq!(modes("{}"), [Mean]);
        assert_eq!(modes(r#"{"pooling_mode_mean_tokens": false}"#), [Mean]);
        assert_eq!(modes(r#"{"pooling_mode_cls_token": true}"#), [FirstToken]);
        assert_eq!(modes(r#"{"pooling_mode_lasttoken": true, "pooling_mode_max_tokens": true}"#), [Max, LastToken]);
        assert_eq!(modes(r#"{"pooling_mode": "weightedmean"}"#), [WeightedMean]);
        assert_eq!(modes(r#"{"pooling_mode": ["mean_sqrt_len_tokens", "cls"]}"#), [MeanSqrtLength, FirstToken]);
        // The newer key wins.
        assert_eq!(modes(r#"{"pooling_mode": "max", "pooling_mode_mean_tokens": true}"#), [Max]);
    }

    #[test]
    fn what_the_reference_does_not_take_is_refused() {
        for text in
            [r#"{"pooling_mode": "median"}"#, r#"{"pooling_mode": ["cls", "x"]}"#, r#"{"pooling_mode_xyz": true}"#]
        {
            assert!(serde_json::from_str::<Config>(text).is_err(), "{text}");
        }
    }
}
