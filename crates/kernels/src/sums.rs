//! The heart of every product: sums of a few rows and two vectors of columns, which stay in registers from the first
//! summand to the last (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008).

#![expect(unsafe_code, reason = "rows and columns of matrices by their addresses")]

use crate::lanes::{Lanes, prefetch};

/// How many floats ahead of their use constant weights are asked for. Memory answers after some hundred nanoseconds, in
/// which a few rows need some kilobytes of them.
pub(crate) const AHEAD: usize = 2048;

/// Where the factors of a block of sums lie.
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    /// The first row of the left factor, which has `depth` numbers, and the distance from one row to the next.
    pub(crate) rows: *const f32,
    pub(crate) row_stride: usize,
    /// The first two vectors of the right factor, and the distance from one pair to the next.
    pub(crate) columns: *const f32,
    pub(crate) column_stride: usize,
    /// Summands of each sum.
    pub(crate) depth: usize,
}

/// What happens with a row of finished sums.
pub(crate) trait Finish<V> {
    /// Stores the sums of the row of this number in the block.
    ///
    /// # Safety
    /// As the implementation says.
    unsafe fn row(&self, row: usize, sums: [V; 2]);
}

/// Sums of `rows` rows, at most [`Lanes::ROWS`]. `AHEAD_OF_USE` asks for the right factor ahead of time.
///
/// # Safety
/// The processor has the instructions of `V`; all factors may be read; `finish` can take each row.
#[inline(always)]
pub(crate) unsafe fn block<V: Lanes, F: Finish<V>, const AHEAD_OF_USE: bool>(
    rows: usize,
    factors: Factors,
    finish: &F,
) {
    macro_rules! of_rows {
        ($($count:literal)*) => {
            match rows {
                // SAFETY: the caller's.
                $($count if $count <= V::ROWS => unsafe { fixed::<V, F, $count, AHEAD_OF_USE>(factors, finish) },)*
                _ => debug_assert!(rows == 0, "a block has at most {} rows", V::ROWS),
            }
        };
    }
    of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

#[inline(always)]
unsafe fn fixed<V: Lanes, F: Finish<V>, const ROWS: usize, const AHEAD_OF_USE: bool>(factors: Factors, finish: &F) {
    let Factors { rows, row_stride, columns, column_stride, depth } = factors;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); 2]; ROWS];
        for index in 0..depth {
            let pair = columns.add(index * column_stride);
            if AHEAD_OF_USE {
                // A line of the cache has 16 floats.
                (0..2 * V::COUNT).step_by(16).for_each(|line| prefetch(pair.wrapping_add(AHEAD + line)));
            }
            let pair = [V::load(pair), V::load(pair.add(V::COUNT))];
            for (row, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*rows.add(row * row_stride + index));
                *sums = [factor.mul_add(pair[0], sums[0]), factor.mul_add(pair[1], sums[1])];
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            finish.row(row, sums);
        }
    }
}

/// The bounds of part `index` of `total` things that are shared out among `parts` as evenly as may be.
pub(crate) const fn share(total: usize, parts: usize, index: usize) -> (usize, usize) {
    (total * index / parts, total * (index + 1) / parts)
}
