//! Vectors of numbers, as wide as the processor has them.

#![expect(unsafe_code, reason = "vector instructions, which not every processor has")]

use core::arch::x86_64::{
    __m256, __m512, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi32,
    _mm256_add_ps, _mm256_castsi256_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_castsi512_ps, _mm512_cvtps_epi32,
    _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    _mm512_sub_ps,
};

/// What is added to an exponent where a float stores it.
const EXPONENT_BIAS: i32 = 127;
/// Bits of a float below its exponent.
const FRACTION_BITS: u32 = 23;
const FRACTION_BITS_256: i32 = FRACTION_BITS as i32;
const TO_NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// A vector of 32-bit floats.
///
/// # Safety
/// Of all functions: the processor has the vector's instructions. [`Self::load`] reads, and [`Self::store`] writes,
/// [`Self::COUNT`] floats, which need not be aligned. All are inlined into functions that are compiled for the instructions.
pub(crate) trait Lanes: Copy {
    /// Numbers in it.
    const COUNT: usize;
    /// Rows of the largest block of sums that stay in registers, with two vectors a row.
    const ROWS: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The smaller of both; `other` where one is no number.
    unsafe fn min(self, other: Self) -> Self;
    /// The larger of both; `other` where one is no number.
    unsafe fn max(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// To the nearest integer.
    unsafe fn round(self) -> Self;
    /// 2 to the power of an integer from -126 to 127.
    unsafe fn power_of_two(self) -> Self;
    /// The sum of its numbers.
    unsafe fn total(self) -> f32;
    /// The largest of its numbers.
    unsafe fn largest(self) -> f32;
}

macro_rules! lanes {
    (
        $vector:ty, $count:literal numbers, $rows:literal rows, $splat:ident, $load:ident, $store:ident, $mul_add:ident,
        $round:ident, [$($operation:ident $instruction:ident),*],
        $integer:ident, $integers:ident, $shift:ident, $bits:ident, $sum:ident, $float:ident,
        $total:ident, $largest:ident
    ) => {
        impl Lanes for $vector {
            const COUNT: usize = $count;
            const ROWS: usize = $rows;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's, see above.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's, see above.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's, see above.
                unsafe { $store(to, self) }
            }

            $(
                #[inline(always)]
                unsafe fn $operation(self, other: Self) -> Self {
                    // SAFETY: the caller's, see above.
                    unsafe { $instruction(self, other) }
                }
            )*

            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
                // SAFETY: the caller's, see above.
                unsafe { $mul_add(self, factor, summand) }
            }

            #[inline(always)]
            unsafe fn round(self) -> Self {
                // SAFETY: the caller's, see above.
                unsafe { $round::<TO_NEAREST>(self) }
            }

            #[inline(always)]
            unsafe fn power_of_two(self) -> Self {
                // SAFETY: the caller's, see above.
                unsafe { $float($shift::<$bits>($sum($integers(self), $integer(EXPONENT_BIAS)))) }
            }

            #[inline(always)]
            unsafe fn total(self) -> f32 {
                // SAFETY: the caller's, see above.
                unsafe { $total(self) }
            }

            #[inline(always)]
            unsafe fn largest(self) -> f32 {
                // SAFETY: the caller's, see above.
                unsafe { $largest(self) }
            }
        }
    };
}

lanes!(
    __m256, 8 numbers, 6 rows, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_round_ps,
    [add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps, div _mm256_div_ps, min _mm256_min_ps, max _mm256_max_ps],
    _mm256_set1_epi32, _mm256_cvtps_epi32, _mm256_slli_epi32, FRACTION_BITS_256, _mm256_add_epi32, _mm256_castsi256_ps,
    total_of_8, largest_of_8
);
lanes!(
    __m512, 16 numbers, 14 rows, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
    _mm512_roundscale_ps,
    [add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps, div _mm512_div_ps, min _mm512_min_ps, max _mm512_max_ps],
    _mm512_set1_epi32, _mm512_cvtps_epi32, _mm512_slli_epi32, FRACTION_BITS, _mm512_add_epi32, _mm512_castsi512_ps,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps
);

/// The numbers of a vector.
#[inline(always)]
unsafe fn numbers_of_8(vector: __m256) -> [f32; 8] {
    let mut numbers = [0.0; 8];
    // SAFETY: the caller's, and there is room for eight.
    unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), vector) };
    numbers
}

#[inline(always)]
unsafe fn total_of_8(vector: __m256) -> f32 {
    // SAFETY: the caller's.
    let [a, b, c, d, e, f, g, h] = unsafe { numbers_of_8(vector) };
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
unsafe fn largest_of_8(vector: __m256) -> f32 {
    // SAFETY: the caller's.
    let [a, b, c, d, e, f, g, h] = unsafe { numbers_of_8(vector) };
    ((a.max(e)).max(c.max(g))).max((b.max(f)).max(d.max(h)))
}

/// Asks for the line at `address`, where there need not be any, to be brought from memory.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    // SAFETY: it reads nothing, and every x86-64 processor has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}
