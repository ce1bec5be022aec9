//! The memory a build is expected to take, so that builds at once fit together.

use planforge_core::{Cache, CacheKind, CachedArtifact, Digest, Engine, Model};
use std::collections::HashMap;

/// Bytes that a build takes besides its weights, and for each byte of them: a line a tenth above the peaks of TensorRT-RTX
/// 1.7.1 for ResNet-50 (460 MiB, 48 of them weights), ConvNeXt base (835, 168), BERT base (933, 207; in fp32 1549, 414)
/// and RoBERTa large (2479, 675).
const BASE: u64 = 384 << 20;
const PER_WEIGHT_BYTE: (u64, u64) = (7, 2);

/// Peaks of earlier builds by the digest of the graph they were made from.
#[derive(Debug, Default)]
pub(super) struct PeakHistory(HashMap<Digest, u64>);

impl PeakHistory {
    /// Those of all engines in the cache.
    pub(super) fn of(cache: &Cache) -> Self {
        let mut peaks = HashMap::new();
        for engine in cache.records::<Engine>(CacheKind::Engine) {
            let Some(graph) = engine.graph else { continue };
            let peak = peaks.entry(graph).or_default();
            *peak = engine.build_peak_byte_count.max(*peak);
        }
        Self(peaks)
    }

    /// Peak resident memory that building `model` is expected to take: what it took before, else a guess by its weights
    /// that is rather too high.
    pub(super) fn expected(&self, model: &CachedArtifact<Model>) -> u64 {
        let earlier = model.file(&model.record.graph).and_then(|graph| self.0.get(&graph.sha256));
        let guess = BASE + model.record.weight_byte_count * PER_WEIGHT_BYTE.0 / PER_WEIGHT_BYTE.1;
        earlier.map_or(guess, |peak| peak + peak / 16)
    }
}
