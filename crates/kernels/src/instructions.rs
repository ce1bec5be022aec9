//! Which vector instructions a processor has, and how work is compiled for them.

#![expect(unsafe_code, reason = "functions compiled for instructions that not every processor has")]

use crate::lanes::Lanes;
use core::arch::x86_64::{__m256, __m512};

/// Vector instructions that this crate is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Avx2,
    Avx512,
}

/// Work in parts that may run at the same time.
pub(crate) trait Work {
    /// Does one part. Implementations are inlined, so that they are compiled for the instructions of `V`.
    ///
    /// # Safety
    /// The processor has the instructions of `V`, and each part is done once.
    unsafe fn part<V: Lanes>(&self, part: usize);
}

impl Instructions {
    /// The widest that this processor has; none where it has neither AVX-512 nor AVX2 with FMA.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Self::all().last()
    }

    /// All that this processor has, the narrowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let narrow = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let wide = narrow && is_x86_feature_detected!("avx512f");
        [(narrow, Kind::Avx2), (wide, Kind::Avx512)].into_iter().filter_map(|(has, kind)| has.then_some(Self(kind)))
    }

    /// Numbers in a vector.
    pub(crate) const fn lanes(self) -> usize {
        match self.0 {
            Kind::Avx2 => __m256::COUNT,
            Kind::Avx512 => __m512::COUNT,
        }
    }

    /// Columns of a product that are computed together: two vectors.
    pub(crate) const fn panel(self) -> usize {
        2 * self.lanes()
    }

    /// Does one part of `work` with these instructions.
    ///
    /// # Safety
    /// Each part is done once.
    pub(crate) unsafe fn part<W: Work>(self, work: &W, part: usize) {
        // SAFETY: an `Instructions` is made by `all` only, where the processor has them; the caller keeps to the rest.
        unsafe {
            match self.0 {
                Kind::Avx2 => with_avx2(work, part),
                Kind::Avx512 => with_avx512(work, part),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2<W: Work>(work: &W, part: usize) {
    // SAFETY: the features of this function are those of the vector; the caller does each part once.
    unsafe { work.part::<__m256>(part) }
}

#[target_feature(enable = "avx512f")]
unsafe fn with_avx512<W: Work>(work: &W, part: usize) {
    // SAFETY: as above.
    unsafe { work.part::<__m512>(part) }
}
