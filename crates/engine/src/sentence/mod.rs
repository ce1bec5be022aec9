//! What sentence-transformers writes next to a model (Reimers & Gurevych, arXiv:1908.10084).
//!
//! - `modules.json`: the modules in order, each with its folder ([`SentenceModules`], [`encoder_folder`])
//! - `<n>_Pooling/config.json`, `<n>_Dense/config.json` and their like
//! - `sentence_bert_config.json`: how texts become tokens ([`EncoderSettings`])
//! - `config_sentence_transformers.json`: what the model as a whole does ([`ModelSettings`])
//!
//! Reference: `SentenceTransformer` and `CrossEncoder` of sentence-transformers 6.2.

mod dense;
mod encoder;
mod feature;
mod list;
mod model;
mod modules;
mod pooling;

pub(crate) use dense::Dense;
pub(crate) use encoder::{EncoderOutput, EncoderSettings};
pub(crate) use feature::Feature;
pub(crate) use list::encoder_folder;
pub(crate) use model::{ModelSettings, check_cross_encoder};
pub(crate) use modules::{Module, SentenceModules};

#[cfg(test)]
mod tests {
    use crate::reference::reference;

    /// Keys by file: those that are read, then those without an effect on a vector or a score.
    const OF_MODULES: [(&str, &[&str], &[&str]); 6] = [
        (
            "Transformer",
            &[
                "config_args",
                "config_kwargs",
                "do_lower_case",
                "max_seq_length",
                "modality_config",
                "model_args",
                "model_kwargs",
                "module_output_name",
                "processing_kwargs",
                "processor_kwargs",
                "tokenizer_args",
                "tokenizer_name_or_path",
                "transformer_task",
            ],
            // How batches are computed, and the roles of texts, which a text has on request only.
            &["document_length", "query_expansion", "query_length", "unpad_inputs"],
        ),
        (
            "Pooling",
            &[
                "embedding_dimension",
                "include_prompt",
                "pooling_mode",
                "pooling_mode_cls_token",
                "pooling_mode_lasttoken",
                "pooling_mode_max_tokens",
                "pooling_mode_mean_sqrt_len_tokens",
                "pooling_mode_mean_tokens",
                "pooling_mode_weightedmean_tokens",
                "word_embedding_dimension",
            ],
            &[],
        ),
        (
            "Dense",
            &[
                "activation_function",
                "bias",
                "in_features",
                "module_input_name",
                "module_output_name",
                "out_features",
                "use_residual",
            ],
            &[],
        ),
        ("LayerNorm", &["dimension"], &[]),
        ("Normalize", &["module_input_name", "module_output_name"], &[]),
        ("Dropout", &[], &["dropout"]),
    ];

    /// The list is `scripts/reference/config-keys.py`'s: run it after each release of sentence-transformers.
    #[test]
    fn every_key_that_the_reference_reads_is_accounted_for() {
        let files = &reference().files;
        assert_eq!(files.modules.len(), OF_MODULES.len());
        for (class, read, neutral) in OF_MODULES {
            let missing =
                files.modules[class].keys().filter(|key| !read.iter().chain(neutral).any(|known| known == key));
            assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "{class}");
        }
        let read = ["activation_fn", "default_prompt_name", "model_type", "prompts", "truncate_dim"];
        // Versions that a model asks for, how vectors are compared, and layers that stay in binary32 while others do not.
        let neutral = ["__version__", "keep_in_fp32_modules", "requirements", "similarity_fn_name"];
        let missing = files.model.keys().filter(|key| !read.iter().chain(&neutral).any(|known| known == key));
        assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
        // `kwargs` names arguments of a call that are handed on.
        assert_eq!(files.list.keys().collect::<Vec<_>>(), ["kwargs", "name", "path", "type"]);
    }
}
