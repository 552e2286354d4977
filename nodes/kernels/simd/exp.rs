//! Exponential and error function of vectors. The errors stated are the largest found over the ranges in the tests.

use pulp::Simd;

use super::vector::F32s;

/// Below it, [`exp`] is 0: the smallest power of e that is not subnormal.
const SMALLEST: f32 = -87.336_54;
/// From it on, [`exp`] stays: n would round to 128.
const LARGEST: f32 = 88.376_26;

/// e to the power of `x`: relative error at most 2.5e-7 (two units in the last place). 0 below -87.33, where the result
/// would be subnormal; 2.4e38 from 88.37 on; NaN for NaN.
///
/// `e^x = 2^n e^r` with `|r| <= ln 2 / 2` and the polynomial of Cephes' `expf` (Moshier 1992).
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    let splat = |value| F32s::splat(simd, value);
    // Added to a small number, it leaves its nearest whole number in the lowest bits.
    let shift = splat(12_582_912.0); // 1.5 * 2^23
    let clamped = x.where_less(splat(SMALLEST), splat(SMALLEST), x);
    let clamped = splat(LARGEST).where_less(clamped, splat(LARGEST), clamped);
    let shifted = clamped.mul_add(splat(std::f32::consts::LOG2_E), shift);
    let n = shifted - shift;
    // ln 2 in two parts, of which the first has few bits, so that its product with n is exact.
    let r = n.mul_add(splat(-0.693_359_4), clamped);
    let r = n.mul_add(splat(2.121_944_4e-4), r);
    let p = splat(1.987_569_1e-4);
    let p = p.mul_add(r, splat(1.398_199_9e-3));
    let p = p.mul_add(r, splat(8.333_452e-3));
    let p = p.mul_add(r, splat(4.166_579_6e-2));
    let p = p.mul_add(r, splat(1.666_666_5e-1));
    let p = p.mul_add(r, splat(0.5));
    let p = p.mul_add(r * r, r) + 1.0;
    x.where_less(splat(SMALLEST), splat(0.0), p * shifted.exp2_of_shifted())
}

/// 2 to the power of `x`, which is at most 127: relative error at most 2.5e-7; at least 2^-126, which is next to nothing in
/// a sum with 1; NaN for NaN.
///
/// The polynomial is the series of `e^(r ln 2)`, `|r| <= 1/2`: what it leaves out is below `(ln 2 / 2)^7 / 7!` = 1.2e-7.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    let splat = |value| F32s::splat(simd, value);
    let shift = splat(12_582_912.0); // 1.5 * 2^23
    let x = x.where_less(splat(-126.0), splat(-126.0), x);
    let shifted = x + shift;
    let r = x - (shifted - shift);
    // ln(2)^n / n!
    let p = splat(1.540_353e-4);
    let p = p.mul_add(r, splat(1.333_355_8e-3));
    let p = p.mul_add(r, splat(9.618_129e-3));
    let p = p.mul_add(r, splat(5.550_411e-2));
    let p = p.mul_add(r, splat(2.402_265e-1));
    let p = p.mul_add(r, splat(std::f32::consts::LN_2));
    let p = p.mul_add(r, splat(1.0));
    p * shifted.exp2_of_shifted()
}

/// The error function: absolute error at most 5e-7, NaN for NaN.
///
/// An odd over an even polynomial, fitted for Eigen's and XLA's float32 erf on [-4, 4].
#[inline(always)]
pub(crate) fn erf<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    let splat = |value| F32s::splat(simd, value);
    let x = x.where_less(splat(-4.0), splat(-4.0), x);
    let x = splat(4.0).where_less(x, splat(4.0), x);
    let square = x * x;
    let odd = splat(-2.726_142e-10);
    let odd = odd.mul_add(square, splat(2.770_681_4e-8));
    let odd = odd.mul_add(square, splat(-2.101_024e-6));
    let odd = odd.mul_add(square, splat(-5.692_506_3e-5));
    let odd = odd.mul_add(square, splat(-7.349_906_3e-4));
    let odd = odd.mul_add(square, splat(-2.954_6e-3));
    let odd = odd.mul_add(square, splat(-1.609_603_3e-2));
    let even = splat(-1.456_607_2e-5);
    let even = even.mul_add(square, splat(-2.133_740_6e-4));
    let even = even.mul_add(square, splat(-1.682_827e-3));
    let even = even.mul_add(square, splat(-7.373_329_2e-3));
    let even = even.mul_add(square, splat(-1.426_473_9e-2));
    x * odd / even
}

#[cfg(test)]
mod tests {
    use super::super::{Level, Map, map};
    use super::*;

    #[derive(Clone, Copy)]
    struct Exp;
    impl Map<1> for Exp {
        fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
            exp(simd, x)
        }
    }

    #[derive(Clone, Copy)]
    struct Exp2;
    impl Map<1> for Exp2 {
        fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
            exp2(simd, x)
        }
    }

    #[derive(Clone, Copy)]
    struct Erf;
    impl Map<1> for Erf {
        fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
            erf(simd, x)
        }
    }

    fn grid(from: f32, to: f32) -> Vec<f32> {
        let count = 400_000;
        (0..=count).map(|i| from + (to - from) * i as f32 / count as f32).collect()
    }

    #[test]
    fn exponentials_are_within_two_units() {
        let x = grid(-87.3, 88.3);
        for level in Level::available() {
            let mut y = vec![0.0; x.len()];
            map(level, Exp, [&x], &mut y);
            for (x, y) in x.iter().zip(&y) {
                let expected = f64::from(*x).exp();
                let error = (f64::from(*y) - expected).abs() / expected;
                assert!(error <= 2.5e-7, "{level:?}: exp({x}) = {y}, expected {expected}");
            }
            let x = [-88.0, f32::NEG_INFINITY, 89.0, f32::INFINITY, f32::NAN, 0.0];
            let mut y = [1.0; 6];
            map(level, Exp, [&x], &mut y);
            assert_eq!(y[..2], [0.0; 2], "{level:?}");
            assert!(y[2] > 2.3e38 && y[2] == y[3] && y[4].is_nan() && y[5] == 1.0, "{level:?}: {y:?}");
        }
    }

    #[test]
    fn powers_of_two_are_within_two_units() {
        let x = grid(-126.0, 10.0);
        for level in Level::available() {
            let mut y = vec![0.0; x.len()];
            map(level, Exp2, [&x], &mut y);
            for (x, y) in x.iter().zip(&y) {
                let expected = f64::from(*x).exp2();
                let error = (f64::from(*y) - expected).abs() / expected;
                assert!(error <= 2.5e-7, "{level:?}: exp2({x}) = {y}, expected {expected}");
            }
            let mut y = [1.0; 4];
            map(level, Exp2, [&[-1e9, f32::NEG_INFINITY, f32::NAN, 0.0]], &mut y);
            assert!(y[0] < 2e-38 && y[1] < 2e-38 && y[2].is_nan() && y[3] == 1.0, "{level:?}: {y:?}");
        }
    }

    /// Against an alternating series (Abramowitz and Stegun 7.1.5) in float64.
    #[test]
    fn error_functions_are_within_their_error() {
        let exact = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                let n = f64::from(n);
                term *= -x * x / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        };
        let x = grid(-4.5, 4.5);
        for level in Level::available() {
            let mut y = vec![0.0; x.len()];
            map(level, Erf, [&x], &mut y);
            for (x, y) in x.iter().zip(&y).step_by(7) {
                let expected = exact(f64::from(*x));
                assert!((f64::from(*y) - expected).abs() <= 5e-7, "{level:?}: erf({x}) = {y}, expected {expected}");
            }
            let mut y = [0.0; 3];
            map(level, Erf, [&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]], &mut y);
            assert!(y[0].is_nan() && (y[1] - 1.0).abs() < 5e-7 && (y[2] + 1.0).abs() < 5e-7, "{level:?}: {y:?}");
        }
    }
}
