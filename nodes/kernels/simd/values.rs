//! What the values of matrices are: numbers, or pairs of bfloat16s.

#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;

use pulp::{Simd, WithSimd};

use super::Level;
use super::exp::exp2;
use super::vector::F32s;

/// What the values of both operands of a product are. Methods are to be marked `#[inline(always)]`, which compiles them for
/// the caller's instruction set.
pub(crate) trait Values: Copy {
    /// Numbers that one value holds, of as many steps over the depth of a product.
    const NUMBERS: usize;

    /// `left * right + sum`, where the sum is a number.
    fn multiply_add<S: Simd>(self, simd: S, left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s;

    /// 2 to the power of `x`, at most 127, as exactly as a value tells: next to nothing below -126, NaN for NaN.
    fn exp2<S: Simd>(self, simd: S, x: F32s<S>) -> F32s<S>;

    /// Numbers as values: those of the first vector, and where a value holds two, with those of the second beside them.
    fn join<S: Simd>(self, simd: S, numbers: [F32s<S>; 2]) -> F32s<S>;

    /// Runs a function apart from its caller, compiled for the same instructions.
    fn vectorize<S: Simd, F: WithSimd>(self, simd: S, function: F) -> F::Output;
}

/// A function for [`Level::run_with_values`].
pub(crate) trait WithValues {
    /// To be marked `#[inline(always)]`.
    fn with_values<S: Simd, V: Values>(self, simd: S, values: V);
}

impl Level {
    /// Runs a function compiled for this level, or the portable one where the processor does not have it, on pairs where
    /// this level takes them and otherwise on numbers.
    ///
    /// # Panics
    /// When this level takes pairs and the processor does not have it.
    pub(crate) fn run_with_values<F: WithValues>(self, function: F) {
        struct With<F, V>(F, V);
        impl<F: WithValues, V: Values> WithSimd for With<F, V> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                self.0.with_values(simd, self.1);
            }
        }
        #[cfg(target_arch = "x86_64")]
        if self.takes_pairs() {
            let done = self.run_on_pairs(With(function, Pairs(())));
            return done.unwrap_or_else(|| unreachable!("a level that the processor does not have"));
        }
        self.run(With(function, Singles));
    }
}

/// Numbers.
#[derive(Clone, Copy)]
pub(crate) struct Singles;

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Values for Singles {
    const NUMBERS: usize = 1;

    #[inline(always)]
    fn multiply_add<S: Simd>(self, simd: S, left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(left, right, sum)
    }

    #[inline(always)]
    fn exp2<S: Simd>(self, simd: S, x: F32s<S>) -> F32s<S> {
        exp2(simd, x)
    }

    #[inline(always)]
    fn join<S: Simd>(self, _: S, [first, _]: [F32s<S>; 2]) -> F32s<S> {
        first
    }

    #[inline(always)]
    fn vectorize<S: Simd, F: WithSimd>(self, simd: S, function: F) -> F::Output {
        simd.vectorize(function)
    }
}

/// Two bfloat16s each, the first in the lower bits. Made by [`Level::run_with_values`] alone, where there is AVX512_BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Pairs(());

#[cfg(target_arch = "x86_64")]
#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Values for Pairs {
    const NUMBERS: usize = 2;

    #[inline(always)]
    fn multiply_add<S: Simd>(self, _: S, left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s {
        use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};
        assert!(size_of::<S::f32s>() == size_of::<__m512>());
        // SAFETY: all of them are 64 bytes without further meaning; who makes this type has AVX512_BF16.
        unsafe {
            let [left, right] = [left, right].map(|v| transmute_copy::<_, __m512bh>(&v));
            transmute_copy(&_mm512_dpbf16_ps(transmute_copy(&sum), left, right))
        }
    }

    /// With a relative error of at most 8e-5: bfloat16s are rounded by up to 2e-3.
    #[inline(always)]
    fn exp2<S: Simd>(self, simd: S, x: F32s<S>) -> F32s<S> {
        use std::arch::x86_64::{__m512, _mm512_reduce_ps, _mm512_scalef_ps};
        assert!(size_of::<S::f32s>() == size_of::<__m512>());
        /// Down.
        const ROUNDING: i32 = 0b1001;
        let splat = |value| F32s::splat(simd, value);
        // SAFETY: as in `multiply_add`.
        let [r, x] = unsafe {
            let x = transmute_copy::<_, __m512>(&x.raw());
            [_mm512_reduce_ps::<ROUNDING>(x), x]
        };
        // SAFETY: as in `multiply_add`.
        let r = F32s::of_raw(simd, unsafe { transmute_copy(&r) });
        // The least relative error of a cubic on [0, 1].
        let p = splat(0.078_024_52);
        let p = p.mul_add(r, splat(0.226_067_16));
        let p = p.mul_add(r, splat(0.695_833_54));
        let p = p.mul_add(r, splat(0.999_925_2));
        // SAFETY: as in `multiply_add`.
        F32s::of_raw(simd, unsafe { transmute_copy(&_mm512_scalef_ps(transmute_copy(&p.raw()), x)) })
    }

    #[inline(always)]
    fn join<S: Simd>(self, simd: S, numbers: [F32s<S>; 2]) -> F32s<S> {
        use std::arch::x86_64::{__m512, _mm512_cvtne2ps_pbh, _mm512_permutexvar_epi16};
        assert!(size_of::<S::f32s>() == size_of::<__m512>());
        /// Of 16 firsts and 16 seconds, one and one.
        const ONE_AND_ONE: [u16; 32] = {
            let mut places = [0; 32];
            let mut i = 0;
            while i < places.len() {
                places[i] = (i / 2 + i % 2 * 16) as u16;
                i += 1;
            }
            places
        };
        let [first, second] = numbers;
        // SAFETY: as in `multiply_add`.
        let joined = unsafe {
            let joined = _mm512_cvtne2ps_pbh(transmute_copy(&second.raw()), transmute_copy(&first.raw()));
            transmute_copy(&_mm512_permutexvar_epi16(transmute_copy(&ONE_AND_ONE), transmute_copy(&joined)))
        };
        F32s::of_raw(simd, joined)
    }

    #[inline(always)]
    fn vectorize<S: Simd, F: WithSimd>(self, simd: S, function: F) -> F::Output {
        // SAFETY: who makes this type has AVX512_BF16 and what comes with it.
        unsafe { vectorize_on_pairs(simd, function) }
    }
}

/// With all that [`pulp::x86::V4`] stands for, so that its operations are inlined here, and AVX512_BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,bmi1,bmi2,lzcnt,popcnt,fma")]
pub(super) fn vectorize_on_pairs<S: Simd, F: WithSimd>(simd: S, function: F) -> F::Output {
    function.with_simd(simd)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::lanes;
    use super::*;

    struct Exponentials<'a> {
        x: &'a [f32],
        y: &'a mut [f32],
        joined: &'a mut [f32],
    }

    impl WithValues for Exponentials<'_> {
        fn with_values<S: Simd, V: Values>(self, simd: S, values: V) {
            let [zero, one] = [0.0, 1.0].map(|value| F32s::splat(simd, value));
            let vectors = self.y.chunks_mut(lanes::<S>()).zip(self.joined.chunks_mut(lanes::<S>()));
            for (x, (y, joined)) in self.x.chunks(lanes::<S>()).zip(vectors) {
                let power = values.exp2(simd, F32s::load(simd, x));
                power.store(y);
                let second = power.where_less(one, zero, one);
                values.join(simd, [power, second]).store(joined);
            }
        }
    }

    #[test]
    fn powers_of_two_are_as_exact_as_bfloat16s_and_joined_side_by_side() {
        for level in Level::for_pairs() {
            let x: Vec<f32> = (0..=400_000).map(|i| -125.0 + 200.0 * i as f32 / 400_000.0).collect();
            let (mut y, mut joined) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            level.run_with_values(Exponentials { x: &x, y: &mut y, joined: &mut joined });
            for ((x, y), joined) in x.iter().zip(&y).zip(&joined) {
                let expected = f64::from(*x).exp2();
                let error = (f64::from(*y) - expected).abs() / expected;
                assert!(error <= 8e-5, "{level:?}: exp2({x}) = {y}, expected {expected}");
                let bits = joined.to_bits();
                let [first, second] = [bits << 16, bits & 0xffff_0000].map(f32::from_bits);
                assert!((first - y).abs() <= y / 256.0, "{level:?}: {first} is not {y}");
                assert_eq!(second, if *y < 1.0 { 0.0 } else { 1.0 }, "{level:?}");
            }
            let mut y = [1.0; 4];
            let x = [-1e9, f32::NEG_INFINITY, f32::NAN, 0.0];
            level.run_with_values(Exponentials { x: &x, y: &mut y, joined: &mut [0.0; 4] });
            assert!(y[0] < 2e-38 && y[1] < 2e-38 && y[2].is_nan() && (y[3] - 1.0).abs() < 8e-5, "{level:?}: {y:?}");
        }
    }
}
