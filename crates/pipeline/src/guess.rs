//! What a sample is taken for, and how sure a model is of it.

use planforge_engine::ScoreFunction;
use serde::Serialize;

/// Guesses kept of each masked token, text and image.
const GUESSES: usize = 5;

/// What a sample is taken for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// Class, word or answer.
    pub text: String,
    /// How sure the model is of it, or the value that it gives for it.
    #[serde(flatten)]
    pub value: GuessValue,
}

/// The number next to a guess.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GuessValue {
    /// From 0 to 1.
    Probability(f64),
    /// Any number: that of a regression, or of a cross encoder without an activation.
    Score(f64),
}

impl Guess {
    /// A guess with its probability.
    pub(crate) fn of_probability(text: String, probability: f64) -> Self {
        Self { text, value: GuessValue::Probability(probability) }
    }
}

impl GuessValue {
    const fn number(self) -> f64 {
        match self {
            Self::Probability(number) | Self::Score(number) => number,
        }
    }
}

/// The classes with the largest scores after `function`.
pub(crate) fn classes(function: ScoreFunction, scores: &[f32], labels: &[String]) -> Vec<Guess> {
    let name = |class: usize| labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    largest(values(function, scores), name)
}

/// The likeliest of several things, one of which it is.
pub(crate) fn likeliest(scores: &[f32], name: impl Fn(usize) -> String) -> Vec<Guess> {
    largest(values(ScoreFunction::Softmax, scores), name)
}

fn values(function: ScoreFunction, scores: &[f32]) -> Vec<GuessValue> {
    let each = |value: fn(f64) -> GuessValue| scores.iter().map(|&score| value(f64::from(score))).collect();
    match function {
        ScoreFunction::Softmax => softmax(scores).into_iter().map(GuessValue::Probability).collect(),
        ScoreFunction::Sigmoid => each(|score| GuessValue::Probability(1.0 / (1.0 + (-score).exp()))),
        ScoreFunction::Probability => each(GuessValue::Probability),
        ScoreFunction::Identity => each(GuessValue::Score),
    }
}

fn largest(values: Vec<GuessValue>, name: impl Fn(usize) -> String) -> Vec<Guess> {
    let mut values: Vec<(usize, GuessValue)> = values.into_iter().enumerate().collect();
    values.sort_by(|a, b| b.1.number().total_cmp(&a.1.number()));
    values.truncate(GUESSES);
    values.into_iter().map(|(number, value)| Guess { text: name(number), value }).collect()
}

/// Probabilities of scores.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores.iter().map(|score| f64::from(score - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_names_have_numbers() {
        let found = classes(ScoreFunction::Softmax, &[0.0, 3.0, 1.0], &["a".to_owned()]);
        let names: Vec<_> = found.iter().map(|guess| guess.text.as_str()).collect();
        assert_eq!(names, ["class 1", "class 2", "a"]);
        assert!((found.iter().map(|guess| guess.value.number()).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn values_follow_from_the_function() {
        let of = |function| serde_json::to_value(classes(function, &[0.0, 0.25], &[])).unwrap();
        assert_eq!(of(ScoreFunction::Identity)[0], serde_json::json!({ "text": "class 1", "score": 0.25 }));
        assert_eq!(of(ScoreFunction::Probability)[0], serde_json::json!({ "text": "class 1", "probability": 0.25 }));
        assert_eq!(of(ScoreFunction::Sigmoid)[1], serde_json::json!({ "text": "class 0", "probability": 0.5 }));
    }
}
