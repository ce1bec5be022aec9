//! What SageMaker's runtime API looks like from a client: route, header, limits and errors.
//!
//! Names follow the `InvokeEndpoint` operation of the SageMaker Runtime API.

use crate::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Header that names the copy to invoke.
pub const TARGET_MODEL_HEADER: &str = "X-Amzn-SageMaker-Target-Model";

/// Largest request body SageMaker accepts (6 MiB).
pub const MAX_BODY_BYTE_COUNT: usize = 6 * 1024 * 1024;

/// Name of the endpoint for a model: endpoint names have at most 63 letters, digits and inner hyphens,
/// so every other character becomes a hyphen.
#[must_use]
pub fn endpoint_name(model: &ModelName) -> String {
    let hyphenated: String =
        model.as_str().chars().take(63).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    hyphenated.trim_end_matches('-').to_owned()
}

/// Route of an endpoint's invocations.
#[must_use]
pub fn invocations_path(endpoint: &str) -> String {
    format!("/endpoints/{endpoint}/invocations")
}

/// Route of the state of a local endpoint.
#[must_use]
pub fn state_path(endpoint: &str) -> String {
    format!("/endpoints/{endpoint}/state")
}

/// Error body of `InvokeEndpoint`. The kind is carried in the header `x-amzn-errortype`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointError {
    /// What happened.
    pub message: String,
    /// Status the model's container answered with, for model errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_status_code: Option<u16>,
    /// What the model's container answered, for model errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_message: Option<String>,
}

/// What the local endpoint tells about its memory (`GET /endpoints/{name}/state`). The managed service has
/// no such route; there the figures come from CloudWatch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointState {
    /// Name of the endpoint.
    pub endpoint: String,
    /// Memory that loaded models may take together.
    pub budget_byte_count: u64,
    /// Memory that they take now: growth of the process since it started, as the kernel counts it.
    pub used_byte_count: u64,
    /// Whether that is measured; otherwise the sizes of archives' files stand for the memory of a container that cannot be
    /// read.
    pub memory_is_measured: bool,
    /// Loaded models, least recently used first.
    pub models: Vec<LoadedModel>,
    /// Models unloaded since the start to make room.
    pub evictions: u64,
    /// Invocations answered since the start, by target model; models that were unloaded keep theirs.
    #[serde(default)]
    pub invocations: BTreeMap<String, u64>,
    /// Metrics since the start under the names that CloudWatch has for them; durations in microseconds.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricStatistics>,
}

/// A metric since the start, as CloudWatch sums it up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MetricStatistics {
    /// Number of values.
    pub sample_count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub average: f64,
}

impl MetricStatistics {
    /// Of one value.
    #[must_use]
    pub const fn of(value: f64) -> Self {
        Self { sample_count: 1, sum: value, minimum: value, maximum: value, average: value }
    }

    /// With one more value.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn add(&mut self, value: f64) {
        self.sample_count += 1;
        self.sum += value;
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        self.average = self.sum / self.sample_count as f64;
    }
}

/// A loaded model of the local endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadedModel {
    /// Name it is asked for by.
    pub target_model: String,
    /// Growth of the process while it was loaded, and in its largest requests so far; an estimate where others were under way, or
    /// where the memory is not measured.
    pub byte_count: u64,
    /// Invocations since.
    pub invocations: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_names_have_no_dots_and_no_outer_hyphens() {
        let name = |text: &str| endpoint_name(&ModelName::try_from(text.to_owned()).unwrap());
        assert_eq!(name("all-MiniLM-L6-v2"), "all-MiniLM-L6-v2");
        assert_eq!(name("resnet50.a1_in1k"), "resnet50-a1-in1k");
        assert_eq!(name("m_"), "m");
        assert_eq!(name(&"x".repeat(100)).len(), 63);
    }
}
