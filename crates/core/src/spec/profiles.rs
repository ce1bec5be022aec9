//! Optimization profiles as a set: its limits, and the same set with a smaller largest batch.

use super::values::Profile;

/// The largest batch of any profile; 1 where there is none.
#[must_use]
pub fn max_batch(profiles: &[Profile]) -> u64 {
    profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(1)
}

/// The longest sequence of any profile; none for models without sequences.
#[must_use]
pub fn max_sequence(profiles: &[Profile]) -> Option<u64> {
    profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max()
}

/// The profiles with `batch` as the largest of all; one whose smallest is above it keeps that.
#[must_use]
pub fn profiles_up_to(profiles: &[Profile], batch: u64) -> Vec<Profile> {
    let largest = max_batch(profiles);
    let up_to = |profile: &Profile| {
        let max = if profile.batch.max == largest { batch } else { batch.min(profile.batch.max) };
        Profile { batch: profile.batch.with_max(max), ..profile.clone() }
    };
    profiles.iter().map(up_to).collect()
}
