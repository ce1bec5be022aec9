//! SentencePiece models (Kudo & Richardson, arXiv:1808.06226): the fields of `sentencepiece_model.proto` that are used.

use prost::Message;

/// A model.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    /// The pieces, by number.
    #[prost(message, repeated, tag = "1")]
    pub(super) pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

/// A piece.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    /// Its text.
    #[prost(string, optional, tag = "1")]
    pub(super) piece: Option<String>,
    /// Logarithm of its probability.
    #[prost(float, optional, tag = "2")]
    pub(super) score: Option<f32>,
    /// What it is: see [`Piece::is_special`].
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
}

/// `SentencePiece.Type`.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
/// `TrainerSpec.ModelType`.
const UNIGRAM: i32 = 1;

impl Piece {
    /// Whether it stands for itself, and if so whether it is special: it marks something, rather than being a word of the user's.
    pub(super) const fn is_special(&self) -> Option<bool> {
        match self.kind {
            Some(CONTROL) => Some(true),
            Some(USER_DEFINED) => Some(false),
            _ => None,
        }
    }
}

impl ModelProto {
    /// Whether texts are cut into the likeliest pieces.
    pub(super) fn is_unigram(&self) -> bool {
        self.trainer_spec.as_ref().and_then(|spec| spec.model_type).unwrap_or(UNIGRAM) == UNIGRAM
    }

    /// The table by which texts are normalised; none where they are not.
    pub(super) fn normalizer(&self) -> Option<&[u8]> {
        let table = self.normalizer_spec.as_ref()?.precompiled_charsmap.as_deref()?;
        (!table.is_empty()).then_some(table)
    }
}
