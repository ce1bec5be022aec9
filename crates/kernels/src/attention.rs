//! Attention.

#![expect(unsafe_code, reason = "parts of one matrix are written by several threads")]

use crate::activation::exponential;
use crate::instructions::Work;
use crate::lanes::Lanes;
use crate::sums::{Factors, Finish, block, share};
use crate::{Instructions, Pool};
use std::cell::Cell;

/// Scaled dot-product attention of several heads (Vaswani et al., arXiv:1706.03762) over queries, keys and values that
/// lie side by side in rows of `3 * heads * head_width` numbers.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    instructions: Instructions,
    heads: usize,
    head_width: usize,
    scale: f32,
}

/// What is added to scores `[batch, heads, queries, keys]` before softmax.
#[derive(Debug, Clone, Copy)]
pub struct Summand<'a> {
    values: &'a [f32],
    /// Distances from one item, head and query to the next, zero where all share one.
    strides: [usize; 3],
}

impl<'a> Summand<'a> {
    /// Values of this shape, each of whose dimensions but the last is that of the scores or 1. None where they do not fit.
    #[must_use]
    pub fn new(values: &'a [f32], shape: [usize; 4], scores: [usize; 4]) -> Option<Self> {
        let fits = shape.iter().zip(&scores).all(|(size, of)| size == of || *size == 1) && shape[3] == scores[3];
        let mut strides = [0; 3];
        let mut distance = shape[3];
        for (stride, &size) in strides.iter_mut().zip(&shape).rev() {
            *stride = if size == 1 { 0 } else { distance };
            distance *= size;
        }
        (fits && distance == values.len()).then_some(Self { values, strides })
    }
}

impl Attention {
    /// Whether heads of this width can be computed with `instructions`: they are pairs of vectors.
    #[must_use]
    pub const fn supports(instructions: Instructions, head_width: usize) -> bool {
        head_width > 0 && head_width.is_multiple_of(instructions.panel())
    }

    /// `scale` is the factor of the scores.
    ///
    /// # Panics
    /// If [`Self::supports`] says no to `head_width`.
    #[must_use]
    pub fn new(instructions: Instructions, heads: usize, head_width: usize, scale: f32) -> Self {
        assert!(Self::supports(instructions, head_width), "heads of width {head_width}");
        Self { instructions, heads, head_width, scale }
    }

    /// Numbers in a row of its output; one of its input has three times as many.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Attention heads.
    #[must_use]
    pub const fn heads(&self) -> usize {
        self.heads
    }

    /// Computes `out` `[batch, sequence, width]` from `qkv` `[batch, sequence, 3 * width]`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn apply(
        &self,
        pool: &dyn Pool,
        (batch, sequence): (usize, usize),
        qkv: &[f32],
        summands: &[Summand<'_>],
        out: &mut [f32],
    ) {
        let rows = batch * sequence;
        assert_eq!((3 * rows * self.width(), rows * self.width()), (qkv.len(), out.len()), "rows in and out");
        for Summand { values, strides: [item, head, query] } in summands {
            let end = |stride: &usize, count: usize| stride * count.saturating_sub(1);
            let last = end(item, batch) + end(head, self.heads) + end(query, sequence);
            assert!(rows == 0 || last + sequence <= values.len(), "values of a summand");
        }
        if rows == 0 {
            return;
        }
        let work = Heads { attention: self, sequence, qkv: qkv.as_ptr(), summands, out: out.as_mut_ptr() };
        let instructions = self.instructions;
        // SAFETY: a pool gives each part to one thread.
        pool.run(batch * self.heads, &|part| unsafe { instructions.part(&work, part) });
    }
}

/// One call of [`Attention::apply`].
struct Heads<'a> {
    attention: &'a Attention,
    sequence: usize,
    qkv: *const f32,
    summands: &'a [Summand<'a>],
    out: *mut f32,
}

// SAFETY: parts read what nobody writes meanwhile, and write columns of their own.
unsafe impl Sync for Heads<'_> {}

thread_local! {
    /// Keys and scores of the head that a thread is at.
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Work for Heads<'_> {
    #[inline(always)]
    unsafe fn part<V: Lanes>(&self, part: usize) {
        let Self { attention, sequence, .. } = *self;
        let keys = sequence.next_multiple_of(2 * V::COUNT);
        // Taken out and put back, because a closure would not be compiled for the instructions of `V`.
        let mut scratch = SCRATCH.take();
        let (for_keys, for_scores) = (keys * attention.head_width, V::ROWS * keys);
        scratch.resize(scratch.len().max(for_keys + for_scores), 0.0);
        let (key_panels, scores) = scratch.split_at_mut(for_keys);
        let (item, head) = (part / attention.heads, part % attention.heads);
        // SAFETY: `apply` has compared the lengths with what rows and heads need, and the scratch was sized above.
        unsafe { self.head::<V>((item, head), key_panels.as_mut_ptr(), scores.as_mut_ptr()) };
        SCRATCH.set(scratch);
    }
}

impl Heads<'_> {
    #[inline(always)]
    unsafe fn head<V: Lanes>(&self, (item, head): (usize, usize), key_panels: *mut f32, scores: *mut f32) {
        let Self { attention, sequence, .. } = *self;
        let Attention { head_width, .. } = *attention;
        let (width, panel) = (attention.width(), 2 * V::COUNT);
        let keys = sequence.next_multiple_of(panel);
        let row = 3 * width;
        // SAFETY: the caller's.
        unsafe {
            let query = self.qkv.add(item * sequence * row + head * head_width);
            let (key, value) = (query.add(width), query.add(2 * width));
            transpose(key, row, (sequence, head_width, panel), key_panels);
            let blocks = sequence.div_ceil(V::ROWS);
            for index in 0..blocks {
                let (first, last) = share(sequence, blocks, index);
                for column in (0..keys).step_by(panel) {
                    let factors = Factors {
                        rows: query.add(first * row),
                        row_stride: row,
                        columns: key_panels.add(column * head_width),
                        column_stride: panel,
                        depth: head_width,
                    };
                    block::<V, _, false>(last - first, factors, &Plain { out: scores.add(column), stride: keys });
                }
                let mut shares = [0.0; 16];
                for (offset, share) in shares.iter_mut().enumerate().take(last - first) {
                    let scores = scores.add(offset * keys);
                    let mut scale = attention.scale;
                    for Summand { values, strides: [items, heads, queries] } in self.summands {
                        let values = values.as_ptr().add(item * items + head * heads + (first + offset) * queries);
                        add::<V>(scores, values, sequence, scale);
                        // The first is added to what has been scaled.
                        scale = 1.0;
                    }
                    *share = softmax::<V>(scores, sequence, scale).recip();
                }
                for column in (0..head_width).step_by(panel) {
                    let factors = Factors {
                        rows: scores,
                        row_stride: keys,
                        columns: value.add(column),
                        column_stride: row,
                        depth: sequence,
                    };
                    let out = self.out.add((item * sequence + first) * width + head * head_width + column);
                    block::<V, _, false>(last - first, factors, &Scaled { out, stride: width, factors: &shares });
                }
            }
        }
    }
}

/// Rows of keys as panels of columns, zero where there are no more keys.
#[inline(always)]
unsafe fn transpose(key: *const f32, row: usize, (rows, width, panel): (usize, usize, usize), out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        for number in 0..rows.next_multiple_of(panel) {
            let place = out.add(number / panel * panel * width + number % panel);
            for index in 0..width {
                *place.add(index * panel) = if number < rows { *key.add(number * row + index) } else { 0.0 };
            }
        }
    }
}

/// `scores * scale + values`.
#[inline(always)]
unsafe fn add<V: Lanes>(scores: *mut f32, values: *const f32, count: usize, scale: f32) {
    // SAFETY: the caller's.
    unsafe {
        let whole = count - count % V::COUNT;
        for place in (0..whole).step_by(V::COUNT) {
            let sum = V::load(scores.add(place)).mul_add(V::splat(scale), V::load(values.add(place)));
            sum.store(scores.add(place));
        }
        for place in whole..count {
            *scores.add(place) = (*scores.add(place)).mul_add(scale, *values.add(place));
        }
    }
}

/// Exponentials of `scores * scale` over the largest, and their sum. Scores beyond `count`, up to a whole vector, are
/// overwritten.
#[inline(always)]
unsafe fn softmax<V: Lanes>(scores: *mut f32, count: usize, scale: f32) -> f32 {
    // SAFETY: the caller's: there is room for whole vectors.
    unsafe {
        let whole = count.next_multiple_of(V::COUNT);
        (count..whole).for_each(|place| *scores.add(place) = f32::NEG_INFINITY);
        let places = || (0..whole).step_by(V::COUNT);
        let scale = V::splat(scale);
        let mut most = V::splat(f32::NEG_INFINITY);
        for place in places() {
            most = V::load(scores.add(place)).mul(scale).max(most);
        }
        let less = V::splat(-most.largest());
        let mut sum = V::splat(0.0);
        for place in places() {
            let power = exponential(V::load(scores.add(place)).mul_add(scale, less));
            power.store(scores.add(place));
            sum = sum.add(power);
        }
        sum.total()
    }
}

/// Rows of scores.
struct Plain {
    out: *mut f32,
    stride: usize,
}

impl<V: Lanes> Finish<V> for Plain {
    #[inline(always)]
    unsafe fn row(&self, row: usize, sums: [V; 2]) {
        // SAFETY: `head` has made room for them.
        unsafe {
            sums[0].store(self.out.add(row * self.stride));
            sums[1].store(self.out.add(row * self.stride + V::COUNT));
        }
    }
}

/// Rows of the result, each with a factor.
struct Scaled<'a> {
    out: *mut f32,
    stride: usize,
    factors: &'a [f32; 16],
}

impl<V: Lanes> Finish<V> for Scaled<'_> {
    #[inline(always)]
    unsafe fn row(&self, row: usize, sums: [V; 2]) {
        // SAFETY: `head` has made the address from rows and columns that are there.
        unsafe {
            let factor = V::splat(self.factors[row]);
            sums[0].mul(factor).store(self.out.add(row * self.stride));
            sums[1].mul(factor).store(self.out.add(row * self.stride + V::COUNT));
        }
    }
}
