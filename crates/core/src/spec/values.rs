//! Values that check themselves while they are parsed.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a model is used for; decides its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Hidden states and, where the checkpoint has one, the pooler's output.
    FeatureExtraction,
    /// One vector for each text, pooled and normalised as the checkpoint's `modules.json` says.
    SentenceEmbedding,
    /// A score for each label, as the checkpoint's classification head gives them.
    TextClassification,
    /// A score for each label and token, such as named entities.
    TokenClassification,
    /// For each token, scores for being the first and for being the last of the answer.
    QuestionAnswering,
    /// For each token, a score for each token of the vocabulary.
    FillMask,
    /// A score for each class of pictures.
    ImageClassification,
}

impl Task {
    /// The outputs that the task is about.
    #[must_use]
    pub const fn main_outputs(self) -> &'static [&'static str] {
        match self {
            Self::FeatureExtraction => &["last_hidden_state"],
            Self::SentenceEmbedding => &["sentence_embedding"],
            Self::TextClassification | Self::TokenClassification | Self::FillMask => &["logits"],
            Self::QuestionAnswering => &["start_logits", "end_logits"],
            Self::ImageClassification => &["OUTPUT__0"],
        }
    }

    /// Whether the model is given pictures rather than texts.
    #[must_use]
    pub const fn is_over_images(self) -> bool {
        matches!(self, Self::ImageClassification)
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
        })
    }
}

/// Name of a model: 1 to 100 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// Parts of error texts that make Triton answer 507 ("out of memory") whatever the real cause, so a
/// model's name must not contain them.
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
                "`{name}` is not a model name: use 1 to 100 of A-Z a-z 0-9 . _ -, starting with a letter or digit"
            ));
        }
        if let Some(word) = OUT_OF_MEMORY_WORDS.iter().find(|word| name.contains(**word)) {
            return Err(format!(
                "model name `{name}` contains `{word}`, which Triton takes for an out-of-memory error"
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

/// One optimization profile: the shapes an engine is built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Batch sizes.
    pub batch: ProfileRange,
    /// Sequence lengths in tokens, for models over text.
    pub sequence: Option<ProfileRange>,
}

/// Smallest, most frequent and largest value of a dynamic dimension, written `[min, opt, max]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u64; 3]", into = "[u64; 3]")]
pub struct ProfileRange {
    /// Smallest.
    pub min: u64,
    /// The value to optimise for.
    pub opt: u64,
    /// Largest.
    pub max: u64,
}

impl ProfileRange {
    /// The range with `max` as its largest value, or with its smallest as that where `max` lies below it.
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
            Err(format!("[{min}, {opt}, {max}] is not an optimization profile: it needs 1 <= min <= opt <= max"))
        }
    }
}

impl From<ProfileRange> for [u64; 3] {
    fn from(range: ProfileRange) -> Self {
        [range.min, range.opt, range.max]
    }
}

/// Size of pictures in pixels, written `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "[usize; 2]", into = "[usize; 2]")]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Largest edge accepted; far beyond what any classifier is given.
const MAX_EDGE: usize = 16_384;

impl TryFrom<[usize; 2]> for ImageSize {
    type Error = String;

    fn try_from([height, width]: [usize; 2]) -> std::result::Result<Self, String> {
        if [height, width].iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
            Ok(Self { height, width })
        } else {
            Err(format!("[{height}, {width}] is no size of pictures: use [height, width] of 1 to {MAX_EDGE} pixels"))
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Copies(pub(super) u32);

impl TryFrom<u32> for Copies {
    type Error = String;

    fn try_from(count: u32) -> std::result::Result<Self, String> {
        if (1..=100_000).contains(&count) { Ok(Self(count)) } else { Err(format!("{count} copies: use 1 to 100000")) }
    }
}

impl From<Copies> for u32 {
    fn from(copies: Copies) -> Self {
        copies.0
    }
}

/// A share above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Threshold(pub(super) f64);

impl TryFrom<f64> for Threshold {
    type Error = String;

    fn try_from(share: f64) -> std::result::Result<Self, String> {
        if share > 0.0 && share <= 1.0 {
            Ok(Self(share))
        } else {
            Err(format!("threshold {share}: use a share above 0 and at most 1"))
        }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// An amount of memory, written `"640 MiB"` or `"24 GB"`; not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        // A bare number would be one of bytes, which nobody means.
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        match text.parse::<ByteSize>() {
            Ok(size) if size.as_u64() > 0 && has_unit => Ok(Self(size)),
            _ => Err(format!("`{text}` is not an amount of memory: use one such as \"640 MiB\" or \"24 GB\"")),
        }
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        format!("{} B", size.byte_count())
    }
}

/// How long a builder searches for fast kernels, 0 to 5; each level takes more time than the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct OptimizationLevel(u8);

impl TryFrom<u8> for OptimizationLevel {
    type Error = String;

    fn try_from(level: u8) -> std::result::Result<Self, String> {
        if level <= 5 { Ok(Self(level)) } else { Err(format!("optimization level {level}: use 0 to 5")) }
    }
}

impl From<OptimizationLevel> for u8 {
    fn from(level: OptimizationLevel) -> Self {
        level.0
    }
}

/// Storage classes of S3 whose objects can be read at once, as an endpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// Frequent access.
    Standard,
    /// Infrequent access.
    StandardIa,
    /// Infrequent access, kept in one place only.
    OnezoneIa,
    /// Moved by S3 according to access.
    IntelligentTiering,
    /// Rare access, without a wait.
    GlacierIr,
    /// Older and dearer than `STANDARD`, with less redundancy.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxBatch {
    /// From the profiles themselves.
    #[default]
    Profile,
    /// The largest power of two, up to the profiles' own, that costs at most a fifth of the copies that would fit with a
    /// largest batch of 1; activation memory is counted as if no operations were fused.
    Auto,
}
