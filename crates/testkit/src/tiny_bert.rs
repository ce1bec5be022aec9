//! A BERT of some thousand parameters in the Hub's layout, with seeded weights and a tokenizer of its own.

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// Words the tokenizer knows, after the five special tokens.
const WORDS: &str = "a the cat dog sat ran on mat road and so did all of them small sample that every export is run \
                     second one longer first needs padding attention mask matters . ,";

/// Sizes and weights of the checkpoint.
#[derive(Debug, Clone)]
pub struct TinyBert {
    /// Seed of the weights.
    pub seed: u64,
    /// Width; a multiple of 4, the number of heads.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// `model_type` that the configuration claims.
    pub model_type: String,
    /// Labels of a classification head; none without one.
    pub labels: Vec<String>,
    /// Whether there are the heads that find answers and guess masked words.
    pub word_heads: bool,
}

impl Default for TinyBert {
    fn default() -> Self {
        Self {
            seed: 1,
            hidden_size: 32,
            layers: 2,
            model_type: "bert".to_owned(),
            labels: Vec::new(),
            word_heads: false,
        }
    }
}

type Tensor = (String, Vec<usize>, Vec<u8>);

impl TinyBert {
    /// Writes the checkpoint into the new folder `folder`.
    ///
    /// # Errors
    /// Those of writing files.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs_err::create_dir_all(folder.join("1_Pooling"))?;
        let write = |name: &str, value: &Value| fs_err::write(folder.join(name), format!("{value:#}\n"));
        write("config.json", &self.config())?;
        write("tokenizer.json", &tokenizer())?;
        write("modules.json", &modules())?;
        write("sentence_bert_config.json", &json!({ "max_seq_length": 64 }))?;
        write("1_Pooling/config.json", &json!({ "pooling_mode_mean_tokens": true }))?;
        fs_err::write(folder.join("model.safetensors"), self.weights())
    }

    fn config(&self) -> Value {
        let labels = self.labels.iter().enumerate().map(|(number, label)| (number.to_string(), label.as_str().into()));
        json!({
            "id2label": labels.collect::<serde_json::Map<String, Value>>(),
            "model_type": self.model_type,
            "vocab_size": vocabulary().len(),
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": 4,
            "intermediate_size": 2 * self.hidden_size,
            "hidden_act": "gelu",
            "max_position_embeddings": 64,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
        })
    }

    fn weights(&self) -> Vec<u8> {
        let mut maker = Maker { state: self.seed, tensors: Vec::new() };
        // A head is next to the encoder, whose names then have a prefix.
        let prefix = if self.labels.is_empty() { "" } else { "bert." };
        let width = self.hidden_size;
        for (name, rows) in
            [("word_embeddings", vocabulary().len()), ("position_embeddings", 64), ("token_type_embeddings", 2)]
        {
            maker.tensor(&format!("embeddings.{name}.weight"), &[rows, width], 0.0);
        }
        maker.layer_norm("embeddings.LayerNorm", width);
        for layer in 0..self.layers {
            let scope = format!("encoder.layer.{layer}");
            for name in ["self.query", "self.key", "self.value", "output.dense"] {
                maker.linear(&format!("{scope}.attention.{name}"), width, width);
            }
            maker.layer_norm(&format!("{scope}.attention.output.LayerNorm"), width);
            maker.linear(&format!("{scope}.intermediate.dense"), 2 * width, width);
            maker.linear(&format!("{scope}.output.dense"), width, 2 * width);
            maker.layer_norm(&format!("{scope}.output.LayerNorm"), width);
        }
        maker.linear("pooler.dense", width, width);
        if !self.labels.is_empty() {
            maker.linear("classifier", self.labels.len(), width);
        }
        if self.word_heads {
            maker.linear("qa_outputs", 2, width);
            maker.linear("cls.predictions.transform.dense", width, width);
            maker.layer_norm("cls.predictions.transform.LayerNorm", width);
            maker.tensor("cls.predictions.bias", &[vocabulary().len()], 0.0);
        }
        let views = maker.tensors.iter().map(|(name, shape, bytes)| {
            let prefix = if name.starts_with("classifier.") { "" } else { prefix };
            (
                format!("{prefix}{name}"),
                TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes fit the shape"),
            )
        });
        serialize(views, None).expect("names are unique")
    }
}

/// Makes tensors from a linear congruential generator (Knuth's MMIX constants).
struct Maker {
    state: u64,
    tensors: Vec<Tensor>,
}

impl Maker {
    /// Values within 0.25 of `centre`.
    fn tensor(&mut self, name: &str, shape: &[usize], centre: f32) {
        let mut bytes = Vec::new();
        for _ in 0..shape.iter().product() {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = f32::from(u16::try_from(self.state >> 48).expect("16 bits")) / 65_536.0;
            bytes.extend((centre + (unit - 0.5) / 2.0).to_le_bytes());
        }
        self.tensors.push((name.to_owned(), shape.to_vec(), bytes));
    }

    fn linear(&mut self, scope: &str, rows: usize, columns: usize) {
        self.tensor(&format!("{scope}.weight"), &[rows, columns], 0.0);
        self.tensor(&format!("{scope}.bias"), &[rows], 0.0);
    }

    fn layer_norm(&mut self, scope: &str, width: usize) {
        self.tensor(&format!("{scope}.weight"), &[width], 1.0);
        self.tensor(&format!("{scope}.bias"), &[width], 0.0);
    }
}

fn vocabulary() -> Vec<&'static str> {
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter().chain(WORDS.split_whitespace()).collect()
}

fn tokenizer() -> Value {
    let vocabulary = vocabulary();
    let numbers: serde_json::Map<String, Value> =
        vocabulary.iter().enumerate().map(|(number, word)| ((*word).to_owned(), number.into())).collect();
    let special = |number: usize| {
        json!({
            "id": number, "content": vocabulary[number], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        })
    };
    let token = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": 0 } });
    let sequence = |name: &str, kind: u32| json!({ "Sequence": { "id": name, "type_id": kind } });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("[CLS]"), sequence("A", 0), token("[SEP]")],
            "pair": [token("[CLS]"), sequence("A", 0), token("[SEP]"), sequence("B", 1), token("[SEP]")],
            "special_tokens": {
                "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] },
                "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] },
            },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": numbers,
        },
    })
}

fn modules() -> Value {
    let module = |index: u32, path: &str, kind: &str| json!({ "idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
    json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")])
}
