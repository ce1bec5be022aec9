//! Functions of single numbers.

#![expect(unsafe_code, reason = "vector instructions")]

use crate::lanes::Lanes;

/// What follows a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` times the normal distribution's cumulative function at `x` (Hendrycks and Gimpel, arXiv:1606.08415), exactly.
    Gelu,
    /// The same by way of the hyperbolic tangent.
    GeluTanh,
}

impl Activation {
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(crate) unsafe fn of<V: Lanes>(self, x: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::None => x,
                Self::Relu => V::splat(0.0).max(x),
                Self::Gelu => {
                    let half = x.mul(V::splat(0.5));
                    half.mul_add(error_function(x.mul(V::splat(std::f32::consts::FRAC_1_SQRT_2))), half)
                }
                Self::GeluTanh => {
                    // 1 + tanh(y) is 2 / (1 + exp(-2y)).
                    let cubed = x.mul(x).mul_add(V::splat(0.044_715), V::splat(1.0)).mul(x);
                    let twice = cubed.mul(V::splat(-2.0 * 0.797_884_6));
                    x.div(exponential(twice).add(V::splat(1.0)))
                }
            }
        }
    }
}

/// `exp(x)` to within two units in the last place. What is below -87.3 gives `exp(-87.3)`, which is 1e-38, and what is above
/// 88 gives `exp(88)`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
pub(crate) unsafe fn exponential<V: Lanes>(x: V) -> V {
    // Taylor's terms of exp on half of ln 2 to either side of zero; the eighth is below 1e-8 there.
    const TERMS: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // ln 2 in two parts, of which the first has so few digits that its product with an exponent is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // SAFETY: the caller's.
    unsafe {
        let x = x.max(V::splat(-87.3)).min(V::splat(88.0));
        let power = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        let rest = power.mul_add(V::splat(-LN_2[0]), x);
        let rest = power.mul_add(V::splat(-LN_2[1]), rest);
        polynomial(rest, &TERMS).mul(power.power_of_two())
    }
}

/// `erf(x)`, as a quotient of polynomials in the square of `x`, fitted to the least largest relative error for magnitudes up
/// to 4, where it is 2.6e-8 before rounding, and 4e-7 after; beyond that it is 1 in 32-bit floats.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn error_function<V: Lanes>(x: V) -> V {
    const ABOVE: [f32; 6] =
        [1.989_795_2e-6, 2.838_036e-4, 3.856_008_9e-3, 5.301_818_3e-2, 0.192_927_48, std::f32::consts::FRAC_2_SQRT_PI];
    // Beyond it the result is 1, and here the quotient is exactly that.
    const BOUND: f32 = 3.9375;
    const BELOW: [f32; 6] = [3.741_108_2e-5, 1.178_638_8e-3, 1.515_312_5e-2, 0.115_092_784, 0.504_310_4, 1.0];
    // SAFETY: the caller's.
    unsafe {
        let x = x.max(V::splat(-BOUND)).min(V::splat(BOUND));
        let square = x.mul(x);
        x.mul(polynomial(square, &ABOVE)).div(polynomial(square, &BELOW))
    }
}

/// The sum of powers of `x` with these factors, the highest first (Horner's scheme).
#[inline(always)]
unsafe fn polynomial<V: Lanes, const N: usize>(x: V, factors: &[f32; N]) -> V {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = V::splat(factors[0]);
        for factor in &factors[1..] {
            sum = sum.mul_add(x, V::splat(*factor));
        }
        sum
    }
}
