//! Products with constant weights.

#![expect(unsafe_code, reason = "parts of one matrix are written by several threads")]

use crate::instructions::Work;
use crate::lanes::Lanes;
use crate::sums::{Factors, Finish, block, share};
use crate::{Activation, Instructions, Pool};

/// Rows that go through all weights of a part before the next do: few enough that they stay in the cache meanwhile.
const ROWS_TOGETHER: usize = 168;
/// Parts for each thread, so that one that comes late finds something to do.
const PARTS_PER_THREAD: usize = 4;

/// `activation(x W + b)`, where `W` `[input, output]` and `b` `[output]` are constant.
#[derive(Debug)]
pub struct Linear {
    instructions: Instructions,
    input: usize,
    output: usize,
    /// Panels of two vectors of columns, each from the first row to the last.
    weights: Box<[f32]>,
    bias: Box<[f32]>,
    activation: Activation,
}

impl Linear {
    /// Whether outputs of this width can be computed with `instructions`: they come in pairs of vectors.
    #[must_use]
    pub const fn supports(instructions: Instructions, output: usize) -> bool {
        output > 0 && output.is_multiple_of(instructions.panel())
    }

    /// Arranges weights for `instructions`. `weight(row, column)` is that of input `row` and output `column`.
    ///
    /// # Panics
    /// If [`Self::supports`] says no to the width, which is that of `bias`.
    #[must_use]
    pub fn new(
        instructions: Instructions,
        input: usize,
        bias: &[f32],
        activation: Activation,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        assert!(Self::supports(instructions, bias.len()), "{} columns", bias.len());
        let (panel, output) = (instructions.panel(), bias.len());
        let mut weights = Vec::with_capacity(input * output);
        for first in (0..output).step_by(panel) {
            for row in 0..input {
                weights.extend((first..first + panel).map(|column| weight(row, column)));
            }
        }
        Self { instructions, input, output, weights: weights.into(), bias: bias.into(), activation }
    }

    /// Numbers in a row of its input.
    #[must_use]
    pub const fn input(&self) -> usize {
        self.input
    }

    /// Numbers in a row of its output.
    #[must_use]
    pub const fn output(&self) -> usize {
        self.output
    }

    /// Computes rows of `out` from those of `x`, and adds those of `summand`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn apply(&self, pool: &dyn Pool, x: &[f32], summand: Option<&[f32]>, out: &mut [f32]) {
        let rows = out.len() / self.output;
        assert_eq!((rows * self.input, rows * self.output), (x.len(), out.len()), "rows in and out");
        assert!(summand.is_none_or(|summand| summand.len() == out.len()), "rows of the summand");
        if rows == 0 {
            return;
        }
        let threads = pool.threads();
        let row_parts = rows.div_ceil(ROWS_TOGETHER);
        let panels = self.output / self.instructions.panel();
        let wanted = if threads > 1 { (PARTS_PER_THREAD * threads).div_ceil(row_parts) } else { 1 };
        let panel_parts = wanted.min(panels);
        let summand = summand.map(<[f32]>::as_ptr);
        let work = Product {
            linear: self,
            x: x.as_ptr(),
            summand,
            out: out.as_mut_ptr(),
            rows,
            parts: (row_parts, panel_parts),
        };
        let instructions = self.instructions;
        // SAFETY: a pool gives each part to one thread.
        pool.run(row_parts * panel_parts, &|part| unsafe { instructions.part(&work, part) });
    }
}

/// One call of [`Linear::apply`].
struct Product<'a> {
    linear: &'a Linear,
    x: *const f32,
    summand: Option<*const f32>,
    out: *mut f32,
    rows: usize,
    /// Into how many parts rows and panels are shared out.
    parts: (usize, usize),
}

// SAFETY: parts read what nobody writes meanwhile, and write rows and columns of their own.
unsafe impl Sync for Product<'_> {}

impl Work for Product<'_> {
    #[inline(always)]
    unsafe fn part<V: Lanes>(&self, part: usize) {
        let Self { linear, x, rows, parts, .. } = *self;
        let panel_width = 2 * V::COUNT;
        let (first_row, last_row) = share(rows, parts.0, part / parts.1);
        let (first_panel, last_panel) = share(linear.output / panel_width, parts.1, part % parts.1);
        let blocks = (last_row - first_row).div_ceil(V::ROWS);
        for panel in first_panel..last_panel {
            for index in 0..blocks {
                let (from, to) = share(last_row - first_row, blocks, index);
                let (row, column) = (first_row + from, panel * panel_width);
                // SAFETY: `apply` has compared the lengths with rows and widths.
                unsafe {
                    let factors = Factors {
                        rows: x.add(row * linear.input),
                        row_stride: linear.input,
                        columns: linear.weights.as_ptr().add(column * linear.input),
                        column_stride: panel_width,
                        depth: linear.input,
                    };
                    let end = Rows::<V> {
                        bias: [
                            V::load(linear.bias.as_ptr().add(column)),
                            V::load(linear.bias.as_ptr().add(column + V::COUNT)),
                        ],
                        activation: linear.activation,
                        summand: self.summand.map(|summand| summand.add(row * linear.output + column)),
                        out: self.out.add(row * linear.output + column),
                        stride: linear.output,
                    };
                    // The first block brings the weights for the others.
                    if index == 0 {
                        block::<V, _, true>(to - from, factors, &end);
                    } else {
                        block::<V, _, false>(to - from, factors, &end);
                    }
                }
            }
        }
    }
}

/// Where rows of a block go.
struct Rows<V> {
    bias: [V; 2],
    activation: Activation,
    summand: Option<*const f32>,
    out: *mut f32,
    stride: usize,
}

impl<V: Lanes> Finish<V> for Rows<V> {
    #[inline(always)]
    unsafe fn row(&self, row: usize, sums: [V; 2]) {
        // SAFETY: `part` has made the addresses from rows and columns that are there.
        unsafe {
            for (index, (sum, bias)) in sums.into_iter().zip(self.bias).enumerate() {
                let place = row * self.stride + index * V::COUNT;
                let mut value = self.activation.of(sum.add(bias));
                if let Some(summand) = self.summand {
                    value = value.add(V::load(summand.add(place)));
                }
                value.store(self.out.add(place));
            }
        }
    }
}
