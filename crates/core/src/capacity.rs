//! How many copies of a model share a GPU, and which maximum batch lets most of them in.

use serde::{Deserialize, Serialize};

/// Bytes set aside for the CUDA context and the libraries' own kernels, which all copies in a process share. An
/// allowance, not a measurement.
pub const CONTEXT_BYTE_COUNT: u64 = 512 << 20;

/// Maximum batches that are weighed against each other.
pub const BATCHES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Share of the copies with a maximum batch of 1 that a larger one must leave.
const LEAST_SHARE_OF_COPIES: f64 = 0.8;

/// What one loaded copy takes on a GPU, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyMemory {
    /// Weights, and what else stays between executions.
    pub weight_byte_count: u64,
    /// Intermediate values and scratch memory at the largest shapes.
    pub activation_byte_count: u64,
}

impl CopyMemory {
    /// Both together.
    #[must_use]
    pub const fn byte_count(self) -> u64 {
        self.weight_byte_count + self.activation_byte_count
    }

    /// Copies that fit into the share `threshold` of a GPU's memory, besides [`CONTEXT_BYTE_COUNT`].
    #[must_use]
    pub fn copies(self, gpu_byte_count: u64, threshold: f64) -> u64 {
        self.copies_beside(CONTEXT_BYTE_COUNT, gpu_byte_count, threshold)
    }

    /// As [`Self::copies`], where all copies share the memory of their activations, which then counts once.
    #[must_use]
    pub fn copies_with_shared_activations(self, gpu_byte_count: u64, threshold: f64) -> u64 {
        let weights = Self { activation_byte_count: 0, ..self };
        let once = CONTEXT_BYTE_COUNT.saturating_add(self.activation_byte_count);
        weights.copies_beside(once, gpu_byte_count, threshold)
    }

    /// Copies that fit into the share `threshold` of `byte_count` bytes, besides `base_byte_count` bytes that are taken once.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "memory is far below 2^53 bytes"
    )]
    pub fn copies_beside(self, base_byte_count: u64, byte_count: u64, threshold: f64) -> u64 {
        let usable = (byte_count as f64 * threshold) as u64;
        usable.saturating_sub(base_byte_count) / self.byte_count().max(1)
    }
}

/// The largest batch with which a GPU still holds four fifths of the copies that it holds with a maximum batch of 1,
/// however large its memory: the memory of a copy grows by a quarter at most. `candidates` are batches, ascending, with the
/// memory of a copy; the first when none of the others fits.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
pub fn recommended_max_batch(candidates: &[(u64, CopyMemory)]) -> Option<u64> {
    let (_, single) = candidates.first()?;
    let most = single.byte_count() as f64 / LEAST_SHARE_OF_COPIES;
    candidates.iter().rev().find(|(_, memory)| memory.byte_count() as f64 <= most).map(|(batch, _)| *batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn memory(weights: u64, activations: u64) -> CopyMemory {
        CopyMemory { weight_byte_count: weights * MIB, activation_byte_count: activations * MIB }
    }

    #[test]
    fn copies_share_the_context() {
        // 90 % of 16 GiB are 14745.6 MiB; without 512 MiB that is 142 times 100 MiB.
        assert_eq!(memory(90, 10).copies(16 << 30, 0.9), 142);
        assert_eq!(memory(90, 10).copies(512 * MIB, 0.9), 0);
        // Without 10 MiB more, 158 times 90 MiB.
        assert_eq!(memory(90, 10).copies_with_shared_activations(16 << 30, 0.9), 158);
    }

    #[test]
    fn the_recommended_batch_costs_a_fifth_of_the_copies_at_most() {
        let of = |per_picture: u64| BATCHES.map(|batch| (batch, memory(100, per_picture * batch)));
        // 101 MiB with batch 1 may become 126.25 MiB.
        assert_eq!(recommended_max_batch(&of(1)), Some(16));
        // 105 MiB with batch 1 may become 131.25 MiB.
        assert_eq!(recommended_max_batch(&of(5)), Some(4));
        assert_eq!(recommended_max_batch(&of(0)), Some(128));
        assert_eq!(recommended_max_batch(&of(1000)), Some(1));
        assert_eq!(recommended_max_batch(&[]), None);
    }
}
