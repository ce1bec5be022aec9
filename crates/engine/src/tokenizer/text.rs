//! A tokenizer with the settings that a task has for texts.

use super::build::build;
use super::class::TokenizerClass;
use super::files::TOKENIZER;
use super::settings::{Settings, Side};
use crate::json::{in_folder, read_json_if_there};
use crate::sentence::{EncoderOutput, EncoderSettings, ModelSettings, encoder_folder};
use crate::{Error, Result};
use planforge_core::{Snapshot, Task, contained};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use tokenizers::normalizers::Sequence;
use tokenizers::{
    NormalizerWrapper, PaddingDirection, PaddingParams, PaddingStrategy, PostProcessor, Tokenizer, TruncationDirection,
    TruncationParams,
};

/// A tokenizer, and what is done to texts before and after it.
pub(crate) struct TextTokenizer {
    /// The tokenizer.
    pub(crate) tokenizer: Tokenizer,
    /// The file of its vocabulary, for errors.
    pub(crate) path: PathBuf,
    /// What is put before every text.
    pub(crate) prompt: String,
    /// Whether tokens have segment numbers; all are 0 otherwise.
    pub(crate) has_token_types: bool,
    /// The token that stands for a word to guess.
    pub(crate) mask_token: Option<String>,
    /// Most tokens of a text.
    max_length: Option<u64>,
    truncation_side: Side,
    padding: PaddingParams,
}

/// Why planforge has no tokenizer for texts of `task`; none where it has one.
///
/// # Errors
/// Settings of a tokenizer that are damaged.
pub fn missing_tokenizer(snapshot: &Snapshot, task: Task) -> Result<Option<String>> {
    let folder = encoder_folder(snapshot, task)?;
    let settings = Settings::read(snapshot, &folder)?;
    let class = match TokenizerClass::read(snapshot, &folder, &settings) {
        Err(Error::NoTokenizer { message, .. }) => return Ok(Some(message)),
        class => class?,
    };
    let has = |file: &&str| snapshot.file(&in_folder(&folder, file)).is_some();
    let files = class.vocabulary_files();
    if has(&TOKENIZER) || !files.is_empty() && files.iter().all(has) {
        return Ok(None);
    }
    Ok(Some(class.expected_files(snapshot, &folder)))
}

/// Whether texts of `task` are padded before their first token.
///
/// # Errors
/// Settings of a tokenizer that are damaged.
pub(crate) fn pads_left(snapshot: &Snapshot, task: Task) -> Result<bool> {
    let folder = encoder_folder(snapshot, task)?;
    let settings = Settings::read(snapshot, &folder)?;
    let written: WrittenSides = read_json_if_there(snapshot, &in_folder(&folder, TOKENIZER))?.unwrap_or_default();
    Ok(settings.padding_side.or(written.padding()) == Some(Side::Left))
}

impl TextTokenizer {
    /// The tokenizer of the snapshot, as it is used for `task`.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] without a tokenizer that is supported, damaged files, and settings that are not supported.
    pub(crate) fn read(snapshot: &Snapshot, task: Task) -> Result<Self> {
        let folder = encoder_folder(snapshot, task)?;
        let settings = Settings::read(snapshot, &folder)?;
        let class = TokenizerClass::read(snapshot, &folder, &settings)?;
        let (mut tokenizer, path) = contained(|| build(snapshot, &folder, class, &settings))
            .map_err(|panic| Error::NoTokenizer { repo: snapshot.repo.clone(), message: unreadable(&panic) })??;
        tokenizer.set_encode_special_tokens(settings.split_special_tokens);
        let usage = Usage::read(snapshot, &folder, task)?;
        if usage.encoder.do_lower_case {
            lower_case_first(&mut tokenizer).map_err(|error| failure(&path, &error))?;
        }
        let written: WrittenSides = read_json_if_there(snapshot, &in_folder(&folder, TOKENIZER))?.unwrap_or_default();
        let tokens = class.complete(settings.tokens.clone());
        let inputs = settings.model_input_names.as_deref();
        let has_token_types = match inputs {
            Some(names) => names.iter().any(|name| name == "token_type_ids"),
            None => class.has_token_types(),
        };
        Ok(Self {
            max_length: usage.max_length(&settings, snapshot, &folder)?,
            prompt: usage.prompt,
            has_token_types,
            mask_token: tokens.text("mask_token"),
            truncation_side: settings.truncation_side.or(written.truncation()).unwrap_or(Side::Right),
            padding: padding(&tokenizer, tokens.text("pad_token"), settings.padding_side.or(written.padding())),
            tokenizer,
            path,
        })
    }

    /// Cuts texts, or pairs of them, to `max_sequence` tokens and to the checkpoint's own limit, and pads those of a batch to
    /// the longest.
    ///
    /// # Errors
    /// A limit below the number of tokens that frame a text or a pair.
    pub(crate) fn limit(&mut self, max_sequence: u64, are_pairs: bool) -> Result<()> {
        let max_length = self.max_length.unwrap_or(u64::MAX).min(max_sequence);
        let direction = match self.truncation_side {
            Side::Left => TruncationDirection::Left,
            Side::Right => TruncationDirection::Right,
        };
        let max_length = usize::try_from(max_length).unwrap_or(usize::MAX);
        // The library subtracts these without looking.
        let frame = self.tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(are_pairs));
        if max_length < frame {
            let message =
                format!("invalid limit of {max_length} tokens; expected at least {frame}, which frame every text");
            return Err(failure(&self.path, &message.into()));
        }
        let truncation = TruncationParams { max_length, direction, ..TruncationParams::default() };
        self.tokenizer.with_truncation(Some(truncation)).map_err(|error| failure(&self.path, &error))?;
        self.tokenizer.with_padding(Some(self.padding.clone()));
        Ok(())
    }
}

/// Why files of a tokenizer, on which the library has panicked, cannot be used.
pub(crate) fn unreadable(panic: &str) -> String {
    format!("the tokenizers library cannot use it: {panic}")
}

fn failure(path: &std::path::Path, error: &tokenizers::Error) -> Error {
    super::vocabulary::failure(path, error)
}

/// Padding to the longest text of a batch. Its token has no effect on a model but by its number, where positions follow from it.
fn padding(tokenizer: &Tokenizer, token: Option<String>, side: Option<Side>) -> PaddingParams {
    let mut padding = tokenizer.get_padding().cloned().unwrap_or_default();
    padding.strategy = PaddingStrategy::BatchLongest;
    padding.pad_to_multiple_of = None;
    padding.pad_type_id = 0;
    padding.direction = match side {
        Some(Side::Left) => PaddingDirection::Left,
        Some(Side::Right) | None => PaddingDirection::Right,
    };
    if let Some((token, number)) = token.and_then(|token| Some((token.clone(), tokenizer.token_to_id(&token)?))) {
        padding.pad_token = token;
        padding.pad_id = number;
    }
    padding
}

/// Lower-cases texts before all else, where the tokenizer has no such step of its own. BERT's normaliser, which may lower-case
/// too, does not count: so does the reference.
fn lower_case_first(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    let is_lowercase = |step: &NormalizerWrapper| matches!(step, NormalizerWrapper::Lowercase(_));
    let steps: Vec<NormalizerWrapper> = match tokenizer.get_normalizer() {
        None => Vec::new(),
        Some(NormalizerWrapper::Sequence(steps)) => steps.as_ref().to_vec(),
        Some(step) => vec![step.clone()],
    };
    if steps.iter().any(is_lowercase) {
        return Ok(());
    }
    let first = NormalizerWrapper::Lowercase(tokenizers::normalizers::Lowercase);
    let steps = std::iter::once(first).chain(steps).collect();
    tokenizer.with_normalizer(Some(Sequence::new(steps)))?;
    Ok(())
}

/// What sentence-transformers adds for its models.
#[derive(Default)]
struct Usage {
    prompt: String,
    encoder: EncoderSettings,
    /// Whether the length of the model's table of positions is a limit of the tokenizer.
    is_capped: bool,
}

impl Usage {
    fn read(snapshot: &Snapshot, folder: &str, task: Task) -> Result<Self> {
        let settings = ModelSettings::read(snapshot)?;
        let output = match task {
            Task::SentenceEmbedding => EncoderOutput::Tokens,
            Task::TextClassification if settings.model_type() == ModelSettings::CROSS_ENCODER => EncoderOutput::Scores,
            _ => return Ok(Self::default()),
        };
        let encoder = EncoderSettings::read(snapshot, folder, output)?;
        Ok(Self { prompt: settings.default_prompt(snapshot)?, encoder, is_capped: true })
    }

    /// Most tokens of a text: as the encoder's settings have it, else as the tokenizer's.
    fn max_length(&self, settings: &Settings, snapshot: &Snapshot, folder: &str) -> Result<Option<u64>> {
        if self.encoder.max_length.is_some() || !self.is_capped {
            return Ok(self.encoder.max_length.or(settings.max_length));
        }
        let config: Option<Value> = read_json_if_there(snapshot, &in_folder(folder, "config.json"))?;
        let positions = config.and_then(|config| config.get("max_position_embeddings")?.as_u64());
        Ok(settings.max_length.into_iter().chain(positions).min())
    }
}

/// The sides of a `tokenizer.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenSides {
    truncation: Option<WrittenSide>,
    padding: Option<WrittenSide>,
}

#[derive(Deserialize)]
struct WrittenSide {
    #[serde(default)]
    direction: Option<String>,
}

impl WrittenSides {
    fn truncation(&self) -> Option<Side> {
        self.truncation.as_ref()?.side()
    }

    fn padding(&self) -> Option<Side> {
        self.padding.as_ref()?.side()
    }
}

impl WrittenSide {
    fn side(&self) -> Option<Side> {
        match self.direction.as_deref() {
            Some("Left") => Some(Side::Left),
            Some("Right") => Some(Side::Right),
            _ => None,
        }
    }
}
