//! Vocabularies, from the files that a snapshot has.

use super::class::TokenizerClass;
use super::files::TOKENIZER;
use super::sentencepiece::ModelProto;
use super::tokens::{Token, Tokens};
use crate::json::{in_folder, read_json, required};
use crate::{Error, Result};
use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, Snapshot, open_bounded, read_file};
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::Precompiled;
use tokenizers::{ModelWrapper, NormalizerWrapper};

/// What the pieces of texts are found in.
pub(super) struct Vocabulary {
    /// Pieces with their numbers, and how words are cut into them.
    pub(super) model: ModelWrapper,
    /// How a SentencePiece model normalises texts.
    pub(super) normalizer: Option<NormalizerWrapper>,
    /// Special tokens that a SentencePiece model lists.
    pub(super) extra: Option<Vec<Token>>,
    /// The file, for errors.
    pub(super) path: PathBuf,
}

impl Vocabulary {
    /// The vocabulary in `folder` of a tokenizer of `class`.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] without its files, [`Error::Tokenizer`] for damaged ones.
    pub(super) fn read(snapshot: &Snapshot, folder: &str, class: TokenizerClass, tokens: &Tokens) -> Result<Self> {
        if snapshot.file(&in_folder(folder, TOKENIZER)).is_some() {
            let file = in_folder(folder, TOKENIZER);
            let path = required(snapshot, &file)?;
            return of_whole(class, read_json(snapshot, &file)?, tokens, &path);
        }
        let files: Vec<String> = class.vocabulary_files().iter().map(|file| in_folder(folder, file)).collect();
        let paths: Option<Vec<PathBuf>> = files.iter().map(|file| snapshot.path(file)).collect();
        let Some(paths) = paths.filter(|paths| !paths.is_empty()) else { return Err(missing(snapshot, folder, class)) };
        let path = paths[0].clone();
        match class {
            TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::Mpnet => of_lines(&path, tokens),
            TokenizerClass::Roberta => of_pairs(&path, &paths[paths.len() - 1]),
            _ => of_sentencepiece(class, &path, tokens),
        }
    }
}

/// The error for a snapshot without a tokenizer of `class`.
pub(super) fn missing(snapshot: &Snapshot, folder: &str, class: TokenizerClass) -> Error {
    Error::NoTokenizer { repo: snapshot.repo.clone(), message: class.expected_files(snapshot, folder) }
}

/// The error for a file of a tokenizer.
pub(super) fn failure(path: &Path, message: impl std::fmt::Display) -> Error {
    Error::Tokenizer { path: path.to_owned(), message: message.to_string() }
}

/// `vocab.txt`: a word in each line.
fn of_lines(path: &Path, tokens: &Tokens) -> Result<Vocabulary> {
    open_bounded(path, MAX_DOCUMENT_BYTE_COUNT)?;
    let words = WordPiece::read_file(&path.to_string_lossy()).map_err(|error| failure(path, error))?;
    let builder = WordPiece::builder().vocab(words).unk_token(tokens.text("unk_token").unwrap_or_default());
    let model = builder.build().map_err(|error| failure(path, error))?.into();
    Ok(Vocabulary { model, normalizer: None, extra: None, path: path.to_owned() })
}

/// `vocab.json` and `merges.txt`.
fn of_pairs(words: &Path, merges: &Path) -> Result<Vocabulary> {
    for path in [words, merges] {
        open_bounded(path, MAX_DOCUMENT_BYTE_COUNT)?;
    }
    let builder = BPE::from_file(&words.to_string_lossy(), &merges.to_string_lossy());
    let model = builder.build().map_err(|error| failure(words, error))?.into();
    Ok(Vocabulary { model, normalizer: None, extra: None, path: words.to_owned() })
}

/// What a `tokenizer.json` has of a vocabulary, cut as `class` does.
fn of_whole(class: TokenizerClass, whole: Whole, tokens: &Tokens, path: &Path) -> Result<Vocabulary> {
    let Whole { model: Model { vocab, merges }, normalizer } = whole;
    let unknown = tokens.text("unk_token").unwrap_or_default();
    let model: tokenizers::Result<ModelWrapper> = match class {
        TokenizerClass::XlmRoberta | TokenizerClass::Camembert => {
            let expected =
                |error| format!("invalid `model.vocab`: {error}; `{class:?}` takes a list of pieces with scores");
            let pieces = serde_json::from_value(vocab).map_err(|error| failure(path, expected(error)))?;
            unigram(class, pieces, &unknown)
        }
        TokenizerClass::Roberta => serde_json::from_value(json!({
            "type": "BPE",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "vocab": numbered(vocab),
            "merges": merges,
        }))
        .map_err(Into::into),
        TokenizerClass::Bert | TokenizerClass::DistilBert | TokenizerClass::Mpnet | TokenizerClass::File => {
            serde_json::from_value(json!({
                "type": "WordPiece",
                "unk_token": unknown,
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": MAX_WORD,
                "vocab": numbered(vocab),
            }))
            .map_err(Into::into)
        }
    };
    let model = model.map_err(|error| failure(path, error))?;
    Ok(Vocabulary { model, normalizer: normalizer.and_then(precompiled), extra: None, path: path.to_owned() })
}

/// Characters of the longest word that is cut into pieces.
const MAX_WORD: usize = 100;

/// `tokenizer.json`, as far as it is needed.
#[derive(Deserialize)]
struct Whole {
    model: Model,
    normalizer: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Value,
    #[serde(default)]
    merges: Value,
}

/// Words with their numbers, from a list of words with scores too.
fn numbered(vocab: Value) -> Value {
    match vocab {
        Value::Array(words) => {
            let text = |word: Value| match word {
                Value::Array(parts) => parts.into_iter().next().and_then(|word| word.as_str().map(str::to_owned)),
                word => word.as_str().map(str::to_owned),
            };
            let words = words.into_iter().enumerate();
            words.filter_map(|(number, word)| Some((text(word)?, Value::from(number)))).collect()
        }
        words => words,
    }
}

fn unigram(class: TokenizerClass, pieces: Vec<(String, f64)>, unknown: &str) -> tokenizers::Result<ModelWrapper> {
    let place = match class {
        TokenizerClass::Camembert => pieces.iter().position(|(piece, _)| piece == unknown).unwrap_or(0),
        _ => 3,
    };
    Ok(Unigram::from(pieces, Some(place), false)?.into())
}

/// The table of a SentencePiece model among the steps of a normaliser.
fn precompiled(normalizer: Value) -> Option<NormalizerWrapper> {
    let steps = match normalizer.get("normalizers") {
        Some(Value::Array(steps)) => steps.clone(),
        _ => vec![normalizer],
    };
    let step = steps.into_iter().find(|step| step.get("precompiled_charsmap").is_some())?;
    serde_json::from_value(step).ok()
}

/// `sentencepiece.bpe.model`, in the order in which fairseq numbers pieces: its own special tokens come first.
fn of_sentencepiece(class: TokenizerClass, path: &Path, tokens: &Tokens) -> Result<Vocabulary> {
    let bytes = read_file(path, MAX_DOCUMENT_BYTE_COUNT)?;
    let proto = ModelProto::decode(bytes.as_slice()).map_err(|error| failure(path, error))?;
    if !proto.is_unigram() {
        return Err(failure(path, "it cuts texts into pairs of pieces, expected the likeliest pieces (unigram)"));
    }
    let role = |role: &str, default: &str| tokens.text(role).unwrap_or_else(|| default.to_owned());
    let (pad, unknown, mask) = (role("pad_token", "<pad>"), role("unk_token", "<unk>"), role("mask_token", "<mask>"));
    let unknown_text = unknown.clone();
    let (first, skipped) = if class == TokenizerClass::Camembert {
        let first = [("<s>NOTUSED".to_owned(), 0.0), (pad, 0.0), ("</s>NOTUSED".to_owned(), 0.0), (unknown, 0.0)];
        ([first.as_slice(), &[("<unk>NOTUSED".to_owned(), -100.0)]].concat(), 1)
    } else {
        (vec![(role("bos_token", "<s>"), 0.0), (pad, 0.0), (role("eos_token", "</s>"), 0.0), (unknown, 0.0)], 3)
    };
    let text = |piece: &super::sentencepiece::Piece| piece.piece.clone().unwrap_or_default();
    let pieces =
        proto.pieces.iter().skip(skipped).map(|piece| (text(piece), f64::from(piece.score.unwrap_or_default())));
    let pieces = first.into_iter().chain(pieces).chain([(mask, 0.0)]).collect();
    let model = unigram(class, pieces, &unknown_text).map_err(|error| failure(path, error))?;
    let listed = proto.pieces.iter().filter_map(|piece| Some(Token::of_piece(text(piece), piece.is_special()?)));
    let normalizer = proto.normalizer().map(Precompiled::from).transpose().map_err(|error| failure(path, error))?;
    let normalizer = normalizer.map(NormalizerWrapper::Precompiled);
    Ok(Vocabulary { model, normalizer, extra: Some(listed.collect()), path: path.to_owned() })
}
