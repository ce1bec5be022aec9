//! Axes with round numbers.

use crate::units::grouped;

/// Values from one end of an axis to the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Value at the left end.
    pub(super) start: f64,
    /// Value at the right end.
    pub(super) end: f64,
}

/// A number on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Place on the axis.
    pub(super) value: f64,
    /// How it is written.
    pub(super) label: String,
}

/// Round numbers from 0 to at least `max`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    step: f64,
    count: u32,
}

impl Scale {
    /// A scale of about `wanted` steps; of whole numbers only where `is_whole`. It ends at the first
    /// step at or above `max`.
    pub(super) fn new(max: f64, wanted: u32, is_whole: bool) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let rough = max / f64::from(wanted.max(1));
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(power * 10.0);
        let step = if is_whole { step.max(1.0) } else { step };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of positive steps")]
        let count = (max / step - 1e-9).ceil() as u32;
        Self { step, count: count.max(1) }
    }

    /// The last number.
    pub(super) fn end(&self) -> f64 {
        self.step * f64::from(self.count)
    }

    /// The numbers with their labels.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a dozen decimals")]
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        (0..=self.count)
            .map(|index| {
                let value = self.step * f64::from(index);
                let label = format!("{value:.decimals$}");
                Tick { value, label: if decimals == 0 { grouped(&label) } else { label } }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(max: f64, is_whole: bool) -> Vec<String> {
        Scale::new(max, 5, is_whole).ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(labels(93.0, false), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(0.9, false), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(1500.0, true)[3..], ["1,500"]);
        assert_eq!(labels(2.0, true), ["0", "1", "2"]);
        assert_eq!(labels(0.0, true), ["0", "1"]);
        assert_eq!(labels(f64::NAN, true), ["0", "1"]);
    }
}
