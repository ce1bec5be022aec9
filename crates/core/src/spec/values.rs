//! Values that check themselves while they are parsed.

use crate::DataType;
use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a model is used for; decides its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Hidden states and, where the checkpoint has one, the pooler's output.
    FeatureExtraction,
    /// One vector for each text, pooled and normalised as the checkpoint's `modules.json` describes.
    #[schemars(extend("x-also" = ["sentence-similarity", "text-embedding", "embedding", "embeddings"]))]
    SentenceEmbedding,
    /// A score for each label, from the checkpoint's classification head.
    #[schemars(extend("x-also" = ["sentiment-analysis", "sequence-classification", "zero-shot-classification"]))]
    TextClassification,
    /// A score for each label and token, such as named entities.
    #[schemars(extend("x-also" = ["ner", "named-entity-recognition"]))]
    TokenClassification,
    /// For each token, scores for being the first and for being the last of the answer.
    #[schemars(extend("x-also" = ["extractive-question-answering", "qa"]))]
    QuestionAnswering,
    /// For each token, a score for each token of the vocabulary.
    #[schemars(extend("x-also" = ["masked-lm", "masked-language-modeling"]))]
    FillMask,
    /// A score for each class of images.
    ImageClassification,
    /// The last hidden state of images and, where there is one, the vector that a head would be given.
    #[schemars(extend("x-also" = ["image-embedding", "image-embeddings", "image-features"]))]
    ImageFeatureExtraction,
}

impl Task {
    /// The outputs that the task is about.
    #[must_use]
    pub const fn main_outputs(self) -> &'static [&'static str] {
        match self {
            Self::FeatureExtraction | Self::ImageFeatureExtraction => &["last_hidden_state"],
            Self::SentenceEmbedding => &["sentence_embedding"],
            Self::TextClassification | Self::TokenClassification | Self::FillMask => &["logits"],
            Self::QuestionAnswering => &["start_logits", "end_logits"],
            Self::ImageClassification => &["OUTPUT__0"],
        }
    }

    /// Whether the model's inputs are images rather than texts.
    #[must_use]
    pub const fn is_over_images(self) -> bool {
        matches!(self, Self::ImageClassification | Self::ImageFeatureExtraction)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FeatureExtraction => "feature-extraction",
            Self::SentenceEmbedding => "sentence-embedding",
            Self::TextClassification => "text-classification",
            Self::TokenClassification => "token-classification",
            Self::QuestionAnswering => "question-answering",
            Self::FillMask => "fill-mask",
            Self::ImageClassification => "image-classification",
            Self::ImageFeatureExtraction => "image-feature-extraction",
        })
    }
}

/// Type of the inputs over tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// 64-bit integers, as transformers has them.
    #[default]
    Int64,
    /// 32-bit integers, which the graph converts: for clients that send those.
    Int32,
}

impl TokenType {
    /// The type of an input whose values are computed with as `data_type`.
    #[must_use]
    pub const fn of_input(self, data_type: DataType) -> DataType {
        match (self, data_type) {
            (Self::Int32, DataType::Int64) => DataType::Int32,
            _ => data_type,
        }
    }
}

/// Name of a model: 1 to 100 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("x-allowed" = "1 to 100 of A-Z a-z 0-9 . _ -, starting with a letter or digit"))]
pub struct ModelName(String);

/// Parts of error texts that make Triton respond with 507 ("out of memory") regardless of the cause. A model's name must
/// not contain them.
const OUT_OF_MEMORY_WORDS: [&str; 2] = ["OOM", "OutOfMemory"];

impl ModelName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty()
            || name.len() > 100
            || !name.chars().all(allowed)
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(format!(
                "invalid model name `{name}`; expected 1 to 100 of A-Z a-z 0-9 . _ -, starting with a letter or digit"
            ));
        }
        if let Some(word) = OUT_OF_MEMORY_WORDS.iter().find(|word| name.contains(**word)) {
            return Err(format!(
                "invalid model name `{name}`; Triton treats errors with `{word}` in them as out of memory, choose another name"
            ));
        }
        Ok(Self(name))
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One optimization profile: the shapes that an engine is built for. At least one table is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"batch": [1, 16, 32], "sequence": [8, 128, 256]}))]
pub struct Profile {
    /// Batch sizes. The largest of all profiles is Triton's `max_batch_size`.
    #[schemars(extend("x-example" = [1, 16, 32], "x-also" = ["batch_size", "batches"]))]
    pub batch: ProfileRange,
    /// Sequence lengths in tokens. Models over texts need it; models over images have none.
    #[schemars(
        extend("x-example" = [8, 128, 256], "x-default" = "none", "x-also" = ["seq_len", "seq_length", "seq", "sequence_length", "max_length", "tokens"])
    )]
    pub sequence: Option<ProfileRange>,
}

/// Smallest, most frequent and largest size of a dynamic dimension, written `[min, opt, max]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "[u64; 3]", into = "[u64; 3]")]
#[schemars(extend("x-allowed" = "`[min, opt, max]` with 1 <= min <= opt <= max"))]
pub struct ProfileRange {
    /// Smallest.
    pub min: u64,
    /// The size to optimize for.
    pub opt: u64,
    /// Largest.
    pub max: u64,
}

impl ProfileRange {
    /// The range with `max` as its largest value, or with its smallest as that where `max` is below it.
    #[must_use]
    pub fn with_max(self, max: u64) -> Self {
        let max = max.max(self.min);
        Self { min: self.min, opt: self.opt.min(max), max }
    }
}

impl TryFrom<[u64; 3]> for ProfileRange {
    type Error = String;

    fn try_from([min, opt, max]: [u64; 3]) -> std::result::Result<Self, String> {
        if 1 <= min && min <= opt && opt <= max && max <= i32::MAX as u64 {
            Ok(Self { min, opt, max })
        } else {
            Err(format!("invalid profile [{min}, {opt}, {max}]; expected [min, opt, max] with 1 <= min <= opt <= max"))
        }
    }
}

impl From<ProfileRange> for [u64; 3] {
    fn from(range: ProfileRange) -> Self {
        [range.min, range.opt, range.max]
    }
}

/// Size of images in pixels, written `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "[usize; 2]", into = "[usize; 2]")]
#[schemars(extend("x-allowed" = "`[height, width]` of 1 to 16384 pixels each"))]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Largest edge accepted; far beyond the input of any classifier.
const MAX_EDGE: usize = 16_384;

impl TryFrom<[usize; 2]> for ImageSize {
    type Error = String;

    fn try_from([height, width]: [usize; 2]) -> std::result::Result<Self, String> {
        if [height, width].iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
            Ok(Self { height, width })
        } else {
            Err(format!(
                "invalid image size [{height}, {width}]; expected [height, width] of 1 to {MAX_EDGE} pixels each"
            ))
        }
    }
}

impl From<ImageSize> for [usize; 2] {
    fn from(size: ImageSize) -> Self {
        [size.height, size.width]
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// Number of copies, 1 to 100,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(extend("x-allowed" = "from 1 to 100000"))]
pub struct Copies(pub(super) u32);

impl TryFrom<u32> for Copies {
    type Error = String;

    fn try_from(count: u32) -> std::result::Result<Self, String> {
        if (1..=100_000).contains(&count) {
            Ok(Self(count))
        } else {
            Err(format!("invalid number of copies {count}; expected 1 to 100000"))
        }
    }
}

impl From<Copies> for u32 {
    fn from(copies: Copies) -> Self {
        copies.0
    }
}

/// A share above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("x-allowed" = "above 0 and at most 1"))]
pub struct Threshold(pub(super) f64);

impl TryFrom<f64> for Threshold {
    type Error = String;

    fn try_from(share: f64) -> std::result::Result<Self, String> {
        if share > 0.0 && share <= 1.0 {
            Ok(Self(share))
        } else {
            Err(format!("invalid threshold {share}; expected a share above 0 and at most 1, such as 0.9"))
        }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// An amount of memory, written `"640 MiB"` or `"24 GB"`; not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("x-allowed" = "a size with a unit, such as \"640 MiB\" or \"24 GB\""))]
pub struct MemorySize(pub(super) ByteSize);

impl MemorySize {
    /// In bytes.
    #[must_use]
    pub const fn byte_count(self) -> u64 {
        self.0.as_u64()
    }
}

impl TryFrom<String> for MemorySize {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        // A bare number would count bytes, which no one means.
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        match text.parse::<ByteSize>() {
            Ok(size) if size.as_u64() > 0 && has_unit => Ok(Self(size)),
            _ => Err(format!(
                "invalid amount of memory `{text}`; expected a size with a unit, such as \"640 MiB\" or \"24 GB\""
            )),
        }
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        format!("{} B", size.byte_count())
    }
}

/// How long a builder searches for fast kernels, 0 to 5; each level takes more time than the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(extend("x-allowed" = "from 0 to 5"))]
pub struct OptimizationLevel(u8);

impl TryFrom<u8> for OptimizationLevel {
    type Error = String;

    fn try_from(level: u8) -> std::result::Result<Self, String> {
        if level <= 5 { Ok(Self(level)) } else { Err(format!("invalid optimization level {level}; expected 0 to 5")) }
    }
}

impl From<OptimizationLevel> for u8 {
    fn from(level: OptimizationLevel) -> Self {
        level.0
    }
}

/// Storage classes of S3 whose objects can be read without a delay, as an endpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// For frequent access.
    Standard,
    /// For infrequent access.
    StandardIa,
    /// For infrequent access, stored in one availability zone only.
    OnezoneIa,
    /// Moved by S3 according to access.
    IntelligentTiering,
    /// For rare access, without a delay.
    GlacierIr,
    /// Older and more expensive than `STANDARD`, with less redundancy.
    ReducedRedundancy,
}

impl StorageClass {
    /// S3's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
            Self::ReducedRedundancy => "REDUCED_REDUNDANCY",
        }
    }
}

/// Where the largest batch of the profiles comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaxBatch {
    /// The profiles' own.
    #[default]
    Profile,
    /// The largest power of two, up to the profiles' own, that costs at most a fifth of the copies that would fit with a
    /// largest batch of 1; activation memory is counted as if no operations were fused.
    Auto,
}
