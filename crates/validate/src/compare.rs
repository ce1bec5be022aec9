//! Outputs against reference outputs: cosine similarity, largest difference, and whether they are within a tolerance.

use crate::outputs::SampleOutputs;
use crate::{Error, Result};
use planforge_core::CheckFacts;

/// How near an output must be to its reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Largest absolute difference, relative to the reference's largest value.
    RelativeError(f64),
    /// Smallest cosine similarity of a sample.
    Cosine(f64),
    /// Both.
    Both {
        /// Smallest cosine similarity of a sample.
        cosine: f64,
        /// Largest absolute difference, relative to the reference's largest value.
        relative_error: f64,
    },
}

/// What is compared with what, and how near it must be.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// What is checked, such as `onnx-fp16`.
    pub subject: &'a str,
    /// What it is compared with, such as `onnx-fp32`.
    pub reference: &'a str,
    /// How near it must be.
    pub tolerance: Tolerance,
}

/// The result for each output of the subject; `expected` has the reference's outputs in the same order.
#[must_use]
pub fn compare(comparison: &Comparison<'_>, found: &[SampleOutputs], expected: &[SampleOutputs]) -> Vec<CheckFacts> {
    found.iter().zip(expected).map(|(found, expected)| compare_output(comparison, found, expected)).collect()
}

fn compare_output(comparison: &Comparison<'_>, found: &SampleOutputs, expected: &SampleOutputs) -> CheckFacts {
    let pairs = || found.values.iter().zip(&expected.values);
    let min_cosine = pairs().map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
    let max_absolute_error = pairs().map(|(a, b)| max_absolute_difference(a, b)).fold(0.0, f64::max);
    let scale = expected.values.iter().flatten().fold(0.0, |most: f64, value| most.max(f64::from(value.abs())));
    // An infinite reference would allow any difference.
    let passed = max_absolute_error.is_finite()
        && match comparison.tolerance {
            Tolerance::RelativeError(limit) => max_absolute_error <= limit * scale,
            Tolerance::Cosine(floor) => min_cosine >= floor,
            Tolerance::Both { cosine, relative_error } => {
                min_cosine >= cosine && max_absolute_error <= relative_error * scale
            }
        };
    CheckFacts {
        subject: comparison.subject.to_owned(),
        reference: comparison.reference.to_owned(),
        output: found.name.clone(),
        samples: u32::try_from(found.values.len()).unwrap_or(u32::MAX),
        min_cosine,
        max_absolute_error,
        passed,
    }
}

/// Cosine similarity; -1 where a value is not a number or the lengths differ, so that no check passes.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let similarity = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if a.len() == b.len() && similarity.is_finite() { similarity.min(1.0) } else { -1.0 }
}

/// Largest absolute difference; infinite where a value is not a number or the lengths differ.
#[must_use]
pub fn max_absolute_difference(a: &[f32], b: &[f32]) -> f64 {
    let most = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from((a - b).abs()))
        .try_fold(0.0, |most: f64, difference| difference.is_finite().then(|| most.max(difference)));
    most.filter(|_| a.len() == b.len()).unwrap_or(f64::INFINITY)
}

/// Fails where a comparison does not hold; `gpu` is the product name of the GPU that computed the outputs, if one did.
///
/// # Errors
/// [`Error::OutputDiffers`] for the first of them.
pub fn require_passed(checks: &[CheckFacts], gpu: Option<&str>) -> Result<()> {
    match checks.iter().find(|check| !check.passed) {
        None => Ok(()),
        Some(failed) => Err(Error::OutputDiffers { facts: Box::new(failed.clone()), gpu: gpu.map(str::to_owned) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(values: &[f32]) -> Vec<SampleOutputs> {
        vec![SampleOutputs { name: "x".to_owned(), values: vec![values.to_vec()] }]
    }

    fn facts(tolerance: Tolerance, found: &[f32], expected: &[f32]) -> Vec<CheckFacts> {
        compare(&Comparison { subject: "found", reference: "expected", tolerance }, &one(found), &one(expected))
    }

    #[test]
    fn a_cosine_or_an_error_outside_the_tolerance_fails() {
        let passes = |tolerance, found: &[f32]| facts(tolerance, found, &[1.0, 2.0])[0].passed;
        assert!(passes(Tolerance::Cosine(0.999), &[1.001, 2.0]) && !passes(Tolerance::Cosine(0.999), &[2.0, 1.0]));
        let error = Tolerance::RelativeError(1e-4);
        assert!(passes(error, &[1.0, 2.0001]) && !passes(error, &[1.0, 2.1]));
        let both = Tolerance::Both { cosine: 0.999, relative_error: 0.1 };
        assert!(passes(both, &[1.01, 2.02]));
        // The same direction, another size.
        assert!(!passes(both, &[2.0, 4.0]) && passes(Tolerance::Cosine(0.999), &[2.0, 4.0]));
    }

    #[test]
    fn a_value_that_is_not_a_number_or_a_missing_one_fails_every_tolerance() {
        for tolerance in [Tolerance::Cosine(0.0), Tolerance::RelativeError(1e9)] {
            assert!(!facts(tolerance, &[f32::NAN, 1.0], &[1.0, 2.0])[0].passed, "{tolerance:?}");
            let infinite = [f32::INFINITY, 1.0];
            assert!(!facts(tolerance, &infinite, &infinite)[0].passed, "{tolerance:?}");
            assert!(!facts(tolerance, &[1.0], &[1.0, 2.0])[0].passed, "{tolerance:?}");
        }
    }

    #[test]
    fn the_first_comparison_that_does_not_hold_is_the_error() {
        let good = facts(Tolerance::Cosine(0.9), &[1.0], &[1.0]);
        assert!(require_passed(&good, None).is_ok());
        let bad = facts(Tolerance::Cosine(0.9), &[-1.0], &[1.0]);
        let error = require_passed(&[good, bad].concat(), Some("NVIDIA L4")).unwrap_err();
        let expected =
            "output `x` of `found` on NVIDIA L4 differs from expected: cosine -1.000000, max absolute error 2.00e0";
        assert_eq!(error.to_string(), expected);
    }
}
