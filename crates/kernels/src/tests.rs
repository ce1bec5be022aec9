//! All kernels against the same sums in 64-bit floats, with all instructions that this processor has.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest difference from exact results of magnitude 1.
const TOLERANCE: f64 = 2e-6;

/// Threads of the standard library, each of which takes the next part.
struct Several(usize);

impl Pool for Several {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    let indices = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                    indices.take_while(|index| *index < parts).for_each(part);
                });
            }
        });
    }
}

/// Numbers between -1 and 1 without an order (a linear congruential generator).
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / f32::from(1_u16 << 15) / 256.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - expected).abs();
        assert!(difference <= tolerance * expected.abs().max(1.0), "{what} at {place}: {found}, expected {expected}");
    }
}

/// The series of the error function (Abramowitz and Stegun, 7.1.5), which 64-bit floats carry to 4.
fn error_function(x: f64) -> f64 {
    if x.abs() >= 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => 0.5 * x * (1.0 + error_function(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
    }
}

const ACTIVATIONS: [Activation; 4] = [Activation::None, Activation::Relu, Activation::Gelu, Activation::GeluTanh];

#[test]
fn this_processor_has_instructions() {
    assert!(Instructions::detect().is_some(), "nothing of this crate can be tested here");
}

#[test]
fn products_are_exact_for_all_numbers_of_rows() {
    for instructions in Instructions::all() {
        for (input, output) in [(1, 32), (7, 96), (64, 64), (384, 32)] {
            let (weights, bias) = (numbers(input * output, 1), numbers(output, 2));
            let scale = 1.0 / (input as f32).sqrt();
            let weight = |row, column| weights[row * output + column] * scale;
            for rows in (0..32).chain([167, 168, 169, 400]) {
                let activation = ACTIVATIONS[rows % 4];
                let linear = Linear::new(instructions, input, &bias, activation, weight);
                let (x, summand) = (numbers(rows * input, 3), numbers(rows * output, 4));
                let summand = (rows % 3 > 0).then_some(summand.as_slice());
                let mut found = vec![f32::NAN; rows * output];
                linear.apply(&Here, &x, summand, &mut found);
                let sum = |place: usize| {
                    let (row, column) = (place / output, place % output);
                    let terms = (0..input).map(|at| f64::from(x[row * input + at]) * f64::from(weight(at, column)));
                    let value = exact(activation, terms.sum::<f64>() + f64::from(bias[column]));
                    value + summand.map_or(0.0, |summand| f64::from(summand[place]))
                };
                let expected: Vec<_> = (0..rows * output).map(sum).collect();
                assert_close(&format!("{instructions:?}, {rows} x {input} x {output}"), &found, &expected, TOLERANCE);
                let mut again = vec![f32::NAN; rows * output];
                linear.apply(&Several(3), &x, summand, &mut again);
                assert!(found == again, "{instructions:?}: threads change nothing");
            }
        }
    }
}

/// One row gives the same bits alone as among others: what is answered does not depend on who else asks.
#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    for instructions in Instructions::all() {
        let weights = numbers(64 * 32, 1);
        let linear =
            Linear::new(instructions, 64, &[0.5; 32], Activation::Gelu, |row, column| weights[row * 32 + column]);
        let x = numbers(200 * 64, 2);
        let mut all = vec![0.0; 200 * 32];
        linear.apply(&Here, &x, None, &mut all);
        for row in [0, 13, 168, 199] {
            let mut one = vec![0.0; 32];
            linear.apply(&Here, &x[row * 64..][..64], None, &mut one);
            assert!(one == all[row * 32..][..32], "{instructions:?}, row {row}");
        }
    }
}

#[test]
fn activations_are_exact_far_from_zero_too() {
    for instructions in Instructions::all() {
        for activation in ACTIVATIONS {
            let linear = Linear::new(instructions, 1, &[0.0; 32], activation, |_, _| 1.0);
            let x: Vec<f32> =
                (-4000..=4000).map(|step| step as f32 / 200.0).chain([-1e30, 1e30, -0.0, 1e-30]).collect();
            let mut found = vec![0.0; x.len() * 32];
            linear.apply(&Here, &x, None, &mut found);
            for (&x, found) in x.iter().zip(found.chunks(32)) {
                // 1 + erf(x) is as inexact for negative numbers as it is for positive ones, and then multiplied.
                let (expected, tolerance) =
                    (exact(activation, f64::from(x)), 2e-7 * f64::from(x).abs().clamp(1.0, 6.0));
                assert_close(&format!("{instructions:?}, {activation:?} of {x}"), found, &[expected; 32], tolerance);
            }
        }
    }
}

#[test]
fn normalised_rows_are_exact() {
    for instructions in Instructions::all() {
        for (rows, width, offset) in [(0, 16, 0.0), (1, 16, 0.0), (3, 48, 100.0), (40, 384, -3.0)] {
            let (weight, bias) = (numbers(width, 1), numbers(width, 2));
            let x: Vec<f32> = numbers(rows * width, 3).iter().map(|x| x + offset).collect();
            let norm = LayerNorm::new(instructions, &weight, &bias, 1e-5);
            let mut expected = Vec::new();
            for row in x.chunks(width) {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
                let scaled = |(x, (weight, bias)): (&f32, (&f32, &f32))| {
                    (f64::from(*x) - mean) / (variance + 1e-5).sqrt() * f64::from(*weight) + f64::from(*bias)
                };
                expected.extend(row.iter().zip(weight.iter().zip(&bias)).map(scaled));
            }
            let (mut found, mut again) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            norm.apply(&Here, &x, &mut found);
            norm.apply(&Several(3), &x, &mut again);
            // An input near 100 has itself an error of 4e-6.
            let tolerance = if offset.abs() > 10.0 { 4e-5 } else { TOLERANCE };
            assert_close(&format!("{instructions:?}, {rows} x {width}"), &found, &expected, tolerance);
            assert!(found == again, "{instructions:?}: threads change nothing");
        }
    }
}

/// Scores of one query in 64-bit floats, and what follows from them.
fn exact_attention(
    (heads, width, scale): (usize, usize, f32),
    (batch, sequence): (usize, usize),
    qkv: &[f32],
    summand: impl Fn(usize, usize, usize, usize) -> f64,
) -> Vec<f64> {
    let hidden = heads * width;
    let at = |item, token, part, head, index| {
        f64::from(qkv[(item * sequence + token) * 3 * hidden + part * hidden + head * width + index])
    };
    let mut out = vec![0.0; batch * sequence * hidden];
    for (item, query, head) in
        (0..batch * sequence * heads).map(|n| (n / heads / sequence, n / heads % sequence, n % heads))
    {
        let score = |key| {
            let terms = (0..width).map(|index| at(item, query, 0, head, index) * at(item, key, 1, head, index));
            terms.sum::<f64>() * f64::from(scale) + summand(item, head, query, key)
        };
        let scores: Vec<_> = (0..sequence).map(score).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<_> = scores.iter().map(|score| (score - most).exp()).collect();
        let total: f64 = powers.iter().sum();
        for index in 0..width {
            let terms = powers.iter().enumerate().map(|(key, power)| power * at(item, key, 2, head, index));
            out[(item * sequence + query) * hidden + head * width + index] = terms.sum::<f64>() / total;
        }
    }
    out
}

#[test]
fn attention_is_exact_with_and_without_summands() {
    let (batch, heads) = (2, 3);
    for instructions in Instructions::all() {
        for (width, sequence) in [(32, 1), (32, 5), (32, 16), (64, 17), (32, 33), (64, 70), (32, 0)] {
            let attention = Attention::new(instructions, heads, width, 0.3);
            let qkv = numbers(batch * sequence * 3 * heads * width, 5);
            // The second item has one token less; each head and pair of tokens has a summand of its own.
            let mask =
                |item: usize, key: usize| if item == 1 && key + 1 == sequence && key > 0 { f32::MIN } else { 0.0 };
            let mask: Vec<f32> = (0..batch * sequence).map(|n| mask(n / sequence, n % sequence)).collect();
            let pairs = numbers(heads * sequence * sequence, 6);
            let scores = [batch, heads, sequence, sequence];
            let mask_of = Summand::new(&mask, [batch, 1, 1, sequence], scores).unwrap();
            let pairs_of = Summand::new(&pairs, [1, heads, sequence, sequence], scores).unwrap();
            for count in 0..3 {
                let summands = &[mask_of, pairs_of][..count];
                let (mut found, mut again) = (vec![f32::NAN; qkv.len() / 3], vec![f32::NAN; qkv.len() / 3]);
                attention.apply(&Here, (batch, sequence), &qkv, summands, &mut found);
                attention.apply(&Several(3), (batch, sequence), &qkv, summands, &mut again);
                let summand = |item, head, query, key| {
                    let of_mask = if count > 0 { f64::from(mask[item * sequence + key]) } else { 0.0 };
                    let of_pairs =
                        if count > 1 { f64::from(pairs[(head * sequence + query) * sequence + key]) } else { 0.0 };
                    of_mask + of_pairs
                };
                let expected = exact_attention((heads, width, 0.3), (batch, sequence), &qkv, summand);
                let what = format!("{instructions:?}, {sequence} tokens, heads of {width}, {count} summands");
                assert_close(&what, &found, &expected, TOLERANCE);
                assert!(found == again, "{what}: threads change nothing");
            }
        }
    }
}

/// A text of padding alone: its scores are all the least float, and all keys count alike.
#[test]
fn a_mask_over_everything_gives_the_mean() {
    for instructions in Instructions::all() {
        let attention = Attention::new(instructions, 1, 32, 0.3);
        let (qkv, mask) = (numbers(5 * 96, 7), [f32::MIN; 5]);
        let mask = Summand::new(&mask, [1, 1, 1, 5], [1, 1, 5, 5]).unwrap();
        let mut found = vec![f32::NAN; 5 * 32];
        attention.apply(&Here, (1, 5), &qkv, &[mask], &mut found);
        let mean = |index: usize| (0..5).map(|key| f64::from(qkv[key * 96 + 64 + index])).sum::<f64>() / 5.0;
        let expected: Vec<_> = (0..5 * 32).map(|place| mean(place % 32)).collect();
        assert_close(&format!("{instructions:?}"), &found, &expected, TOLERANCE);
    }
}

#[test]
fn summands_that_do_not_fit_are_refused() {
    let values = [0.0; 12];
    let scores = [2, 1, 3, 3];
    assert!(Summand::new(&values, [2, 1, 1, 3], scores).is_none(), "12 values are too many");
    assert!(Summand::new(&values[..6], [2, 1, 1, 3], scores).is_some());
    assert!(Summand::new(&values[..4], [2, 1, 1, 2], scores).is_none(), "2 keys of 3");
    assert!(Summand::new(&values[..9], [3, 1, 1, 3], scores).is_none(), "3 items of 2");
}
