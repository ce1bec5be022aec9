//! From token vectors to one vector for each text, as sentence-transformers checkpoints describe it
//! (Reimers & Gurevych, arXiv:1908.10084): `modules.json` names the modules in order.

use crate::checkpoint::read_json;
use crate::{Error, Ops, Result};
use planforge_core::{Snapshot, Task};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `<n>_Pooling/config.json`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

impl Default for PoolingConfig {
    fn default() -> Self {
        Self {
            pooling_mode_cls_token: false,
            pooling_mode_mean_tokens: true,
            pooling_mode_max_tokens: false,
            pooling_mode_mean_sqrt_len_tokens: false,
            pooling_mode_weightedmean_tokens: false,
            pooling_mode_lasttoken: false,
        }
    }
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pooling {
    mode: Mode,
    normalize: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Mean,
    FirstToken,
}

impl Pooling {
    /// Reads `modules.json` and the pooling module's configuration.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        let fail = |message: String| Error::Task {
            task: Task::SentenceEmbedding.to_string(),
            repo: snapshot.repo.clone(),
            message,
        };
        if snapshot.file("modules.json").is_none() {
            return Err(fail("it has no `modules.json`; use task `feature-extraction`".to_owned()));
        }
        let modules: Vec<Module> = read_json(snapshot, "modules.json")?;
        let (mut mode, mut normalize) = (None, false);
        for module in &modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    let config: PoolingConfig = read_json(snapshot, &format!("{}/config.json", module.path))?;
                    mode = Some(pooling_mode(&config).ok_or_else(|| {
                        fail(format!("`{}/config.json` asks for a pooling other than mean or first token", module.path))
                    })?);
                }
                "Normalize" => normalize = true,
                other => return Err(fail(format!("`modules.json` has a module `{other}`, which is not supported"))),
            }
        }
        let mode = mode.ok_or_else(|| fail("`modules.json` has no pooling module".to_owned()))?;
        Ok(Self { mode, normalize })
    }

    pub(crate) fn forward<O: Ops>(self, ops: &mut O, hidden: &O::Tensor, mask: &O::Tensor) -> O::Tensor {
        let pooled = match self.mode {
            Mode::Mean => ops.masked_mean_pool(hidden, mask),
            Mode::FirstToken => ops.token(0, hidden),
        };
        if self.normalize { ops.normalize(&pooled) } else { pooled }
    }
}

/// Exactly one of the two modes that are described; none of the others.
fn pooling_mode(config: &PoolingConfig) -> Option<Mode> {
    let others = config.pooling_mode_max_tokens
        || config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    match (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, others) {
        (true, false, false) => Some(Mode::Mean),
        (false, true, false) => Some(Mode::FirstToken),
        _ => None,
    }
}
