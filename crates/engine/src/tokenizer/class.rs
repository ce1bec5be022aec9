//! Classes of tokenizers.

use super::files::TOKENIZER;
use super::settings::Settings;
use super::steps::difference;
use crate::json::{in_folder, read_json_if_there};
use crate::reference::{TokenizerClassRecord, reference};
use crate::{Error, Result};
use planforge_core::Snapshot;
use serde_json::Value;

/// How a tokenizer is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenizerClass {
    /// BERT's: words, then the longest known pieces.
    Bert,
    /// DistilBERT's: as BERT's, without segments.
    DistilBert,
    /// MPNet's: as BERT's, framed as RoBERTa's.
    Mpnet,
    /// RoBERTa's: pairs of bytes.
    Roberta,
    /// XLM-RoBERTa's: likeliest pieces, from a SentencePiece model.
    XlmRoberta,
    /// CamemBERT's: as XLM-RoBERTa's, with other special tokens.
    Camembert,
    /// None: what `tokenizer.json` has.
    File,
}

/// Vocabularies of SentencePiece that only classes have that are not supported: ALBERT's and DeBERTa's.
const NOT_READ: [&str; 2] = ["spiece.model", "spm.model"];

impl TokenizerClass {
    /// The class that the settings name, else the configuration, else that of the model type.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] for a class that is not supported, and for one with other steps than `tokenizer.json`.
    pub(super) fn read(snapshot: &Snapshot, folder: &str, settings: &Settings) -> Result<Self> {
        let config: Value = read_json_if_there(snapshot, &in_folder(folder, "config.json"))?.unwrap_or_default();
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let name = settings.class.as_deref().or_else(|| text("tokenizer_class"));
        let has_file = snapshot.file(&in_folder(folder, TOKENIZER)).is_some();
        let Some(name) = name.map(|name| name.strip_suffix("Fast").unwrap_or(name)) else {
            return Ok(text("model_type").map_or(Self::File, Self::of_model_type));
        };
        let described = reference().tokenizer_classes.get(name);
        if let Some(class) = Self::of_name(described.map_or(name, |class| &class.class)) {
            return Ok(class);
        }
        if let Some(TokenizerClassRecord { steps: None, .. }) = described {
            return Err(unsupported(snapshot, name, None));
        }
        if !has_file {
            return Err(unsupported(snapshot, name, Some(&Self::File.expected_files(snapshot, folder))));
        }
        if let Some(steps) = described.and_then(|class| class.steps.as_ref()) {
            let file: Value = read_json_if_there(snapshot, &in_folder(folder, TOKENIZER))?.unwrap_or_default();
            if let Some(difference) = difference(&file, steps) {
                let message = format!(
                    "its tokenizer's class `{name}` has steps of its own, unlike `{}`: {difference}; for the steps of the \
                     file, write `PreTrainedTokenizerFast` for `tokenizer_class`",
                    in_folder(folder, TOKENIZER)
                );
                return Err(Error::NoTokenizer { repo: snapshot.repo.clone(), message });
            }
        }
        Ok(Self::File)
    }

    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "BertTokenizer" | "ElectraTokenizer" => Self::Bert,
            "DistilBertTokenizer" => Self::DistilBert,
            "MPNetTokenizer" => Self::Mpnet,
            "RobertaTokenizer" => Self::Roberta,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "CamembertTokenizer" => Self::Camembert,
            "PreTrainedTokenizer" | "TokenizersBackend" => Self::File,
            _ => return None,
        })
    }

    fn of_model_type(model_type: &str) -> Self {
        match model_type {
            "bert" | "distilbert" | "electra" => Self::Bert,
            "mpnet" => Self::Mpnet,
            "roberta" => Self::Roberta,
            "xlm-roberta" => Self::XlmRoberta,
            "camembert" => Self::Camembert,
            _ => Self::File,
        }
    }

    /// Files of the vocabulary where there is no `tokenizer.json`.
    pub(super) const fn vocabulary_files(self) -> &'static [&'static str] {
        match self {
            Self::Bert | Self::DistilBert | Self::Mpnet => &["vocab.txt"],
            Self::Roberta => &["vocab.json", "merges.txt"],
            Self::XlmRoberta | Self::Camembert => &["sentencepiece.bpe.model"],
            Self::File => &[],
        }
    }

    /// The files that a tokenizer is built from, as text; for one that is in the snapshot and not read, the way from it to a
    /// file that is.
    pub(super) fn expected_files(self, snapshot: &Snapshot, folder: &str) -> String {
        let names: Vec<String> = self.vocabulary_files().iter().map(|file| in_folder(folder, file)).collect();
        let whole = in_folder(folder, TOKENIZER);
        let not_read = NOT_READ.iter().map(|file| in_folder(folder, file)).find(|file| snapshot.file(file).is_some());
        match not_read {
            Some(found) if names.is_empty() => format!(
                "unsupported file `{found}`; expected `{whole}`, which transformers writes: \
                 `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
            ),
            _ if names.is_empty() => format!("expected `{whole}`"),
            _ => format!("expected `{whole}` or `{}`", names.join("` and `")),
        }
    }

    /// Whether its tokens have segment numbers.
    pub(super) const fn has_token_types(self) -> bool {
        matches!(self, Self::Bert)
    }
}

/// The error for a class that is not supported, with what would do.
fn unsupported(snapshot: &Snapshot, class: &str, expected: Option<&str>) -> Error {
    let mut message = format!("its tokenizer's class `{class}` is not supported");
    if let Some(expected) = expected {
        message.push_str(&format!("; {expected}"));
    }
    Error::NoTokenizer { repo: snapshot.repo.clone(), message }
}
