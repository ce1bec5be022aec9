//! Result of the memory probe.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Result of the memory probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Memory budget of the endpoint in bytes.
    pub budget_byte_count: u64,
    /// Share of it that copies may fill.
    pub threshold: f64,
    /// Copies that fit.
    pub copies: u32,
    /// Why the probe ended.
    pub limit: CapacityLimit,
    /// Bytes that are taken once, however many copies there are: the runtime, the context of a GPU. It is the growth of
    /// the first copy beyond that of the others; none where there were no others, or models were loaded before.
    #[serde(default)]
    pub base_byte_count: Option<u64>,
    /// Bytes of one loaded copy: the mean growth of all copies but the first, or that of the only one.
    pub byte_count_per_copy: u64,
    /// Bytes that a copy added with more than one request at the same time; none where copies run one.
    #[serde(default)]
    pub concurrent_growth: Option<ConcurrentGrowth>,
    /// What was predicted before anything was loaded; none for prebuilt graphs.
    #[serde(default)]
    pub predicted: Option<PredictedCapacity>,
    /// One entry for each copy invoked.
    pub steps: Vec<ProbeStep>,
}

/// Copies that were predicted to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictedCapacity {
    /// Copies.
    pub copies: u64,
    /// Bytes of one copy: its weights, and its intermediate values at the largest request.
    pub byte_count_per_copy: u64,
}

/// What several of the largest requests at the same time add to one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrentGrowth {
    /// Requests: as many as the copy has instances.
    pub requests: u32,
    /// Bytes that it added after it had answered one such request.
    pub byte_count: u64,
}

impl Capacity {
    /// What the copies that fit added, by `growth`: the first, the median of the others, and the last. None where there are fewer than two.
    #[must_use]
    pub fn growths(&self, growth: impl Fn(&ProbeStep) -> Option<u64>) -> Option<Growths> {
        let all: Vec<u64> = self.steps.iter().take(self.copies as usize).filter_map(growth).collect();
        let (&first, further) = all.split_first()?;
        let &last = further.last()?;
        let mut sorted = further.to_vec();
        sorted.sort_unstable();
        Some(Growths { first, median: sorted[sorted.len() / 2], last })
    }
}

/// Bytes that copies added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growths {
    /// Of the first copy, with what is taken once.
    pub first: u64,
    /// The median of the others.
    pub median: u64,
    /// Of the last.
    pub last: u64,
}

/// Why a memory probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityLimit {
    /// One more copy would pass the threshold.
    Threshold,
    /// Every published copy fits; more may.
    PublishedCopies,
    /// The endpoint began to unload copies.
    Eviction,
}

/// One copy invoked by the probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeStep {
    /// The copy.
    pub target_model: String,
    /// Time of the first invocation, with the smallest request, loading included; none for a copy that was loaded before the probe.
    #[serde(rename = "cold_seconds", alias = "cold", with = "planforge_types::seconds::optional")]
    pub cold: Option<Duration>,
    /// Time of an invocation with the largest request, once such a one was answered.
    #[serde(rename = "warm_seconds", alias = "warm", with = "planforge_types::seconds")]
    pub warm: Duration,
    /// Memory of all loaded models after it.
    pub used_byte_count: u64,
    /// Bytes that the copy added; none in reports of planforge 0.1.0.
    #[serde(default)]
    pub growth_byte_count: Option<u64>,
    /// Of these, bytes that it had added after the smallest request.
    #[serde(default)]
    pub growth_after_smallest_byte_count: Option<u64>,
    /// Models loaded after it.
    pub loaded: u32,
}
