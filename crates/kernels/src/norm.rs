//! Layer normalisation.

#![expect(unsafe_code, reason = "rows of one matrix are written by several threads")]

use crate::instructions::Work;
use crate::lanes::Lanes;
use crate::sums::share;
use crate::{Instructions, Pool};

/// Rows that are worth a part of their own.
const ROWS_PER_PART: usize = 8;

/// Layer normalisation over the last dimension (Ba, Kiros and Hinton, arXiv:1607.06450), with constant weight and bias.
#[derive(Debug)]
pub struct LayerNorm {
    instructions: Instructions,
    weight: Box<[f32]>,
    bias: Box<[f32]>,
    epsilon: f32,
}

impl LayerNorm {
    /// Whether rows of this width can be computed with `instructions`: they are whole vectors.
    #[must_use]
    pub const fn supports(instructions: Instructions, width: usize) -> bool {
        width > 0 && width.is_multiple_of(instructions.lanes())
    }

    /// `epsilon` is added to the variance.
    ///
    /// # Panics
    /// If [`Self::supports`] says no to the width, or weight and bias differ in it.
    #[must_use]
    pub fn new(instructions: Instructions, weight: &[f32], bias: &[f32], epsilon: f32) -> Self {
        assert!(Self::supports(instructions, weight.len()) && weight.len() == bias.len(), "width of a normalisation");
        Self { instructions, weight: weight.into(), bias: bias.into(), epsilon }
    }

    /// Numbers in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.weight.len()
    }

    /// Computes rows of `out` from those of `x`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn apply(&self, pool: &dyn Pool, x: &[f32], out: &mut [f32]) {
        let rows = out.len() / self.width();
        assert_eq!((rows * self.width(), out.len()), (out.len(), x.len()), "rows in and out");
        let parts = rows.div_ceil(ROWS_PER_PART).min(pool.threads());
        let work = Rows { norm: self, x: x.as_ptr(), out: out.as_mut_ptr(), rows, parts };
        let instructions = self.instructions;
        // SAFETY: a pool gives each part to one thread.
        pool.run(parts, &|part| unsafe { instructions.part(&work, part) });
    }
}

/// One call of [`LayerNorm::apply`].
struct Rows<'a> {
    norm: &'a LayerNorm,
    x: *const f32,
    out: *mut f32,
    rows: usize,
    parts: usize,
}

// SAFETY: parts read what nobody writes meanwhile, and write rows of their own.
unsafe impl Sync for Rows<'_> {}

impl Work for Rows<'_> {
    #[inline(always)]
    unsafe fn part<V: Lanes>(&self, part: usize) {
        let (first, last) = share(self.rows, self.parts, part);
        let width = self.norm.width();
        for row in first..last {
            // SAFETY: `apply` has compared the lengths with rows and width.
            unsafe { one_row::<V>(self.norm, self.x.add(row * width), self.out.add(row * width)) };
        }
    }
}

/// The mean first, then the variance about it: with both in one go, large means would cost digits.
#[inline(always)]
unsafe fn one_row<V: Lanes>(norm: &LayerNorm, x: *const f32, out: *mut f32) {
    let width = norm.width();
    let places = || (0..width).step_by(V::COUNT);
    // SAFETY: the caller's; a width is a multiple of the vector's.
    unsafe {
        let mut sum = V::splat(0.0);
        for place in places() {
            sum = sum.add(V::load(x.add(place)));
        }
        let mean = V::splat(sum.total() / width as f32);
        let mut squares = V::splat(0.0);
        for place in places() {
            let distance = V::load(x.add(place)).sub(mean);
            squares = distance.mul_add(distance, squares);
        }
        let scale = V::splat((squares.total() / width as f32 + norm.epsilon).sqrt().recip());
        for place in places() {
            let weight = V::load(norm.weight.as_ptr().add(place)).mul(scale);
            let bias = V::load(norm.bias.as_ptr().add(place));
            V::load(x.add(place)).sub(mean).mul_add(weight, bias).store(out.add(place));
        }
    }
}
