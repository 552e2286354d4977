//! What the values of matrices are: numbers, or pairs of bfloat16s.

#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;

use pulp::{Simd, WithSimd};

use super::Level;
use super::vector::F32s;

/// What the values of both operands of a product are. Methods are to be marked `#[inline(always)]`, which compiles them for
/// the caller's instruction set.
pub(crate) trait Values: Copy {
    /// Numbers that one value holds, of as many steps over the depth of a product.
    const NUMBERS: usize;

    /// `left * right + sum`, where the sum is a number.
    fn multiply_add<S: Simd>(self, simd: S, left: S::f32s, right: S::f32s, sum: S::f32s) -> S::f32s;

    /// Numbers as values: those of the first vector, and where a value holds two, then those of the second.
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

    #[inline(always)]
    fn join<S: Simd>(self, simd: S, numbers: [F32s<S>; 2]) -> F32s<S> {
        use std::arch::x86_64::{__m512, _mm512_cvtne2ps_pbh};
        assert!(size_of::<S::f32s>() == size_of::<__m512>());
        let [first, second] = numbers;
        // SAFETY: as in `multiply_add`.
        let joined = unsafe {
            let joined = _mm512_cvtne2ps_pbh(transmute_copy(&second.raw()), transmute_copy(&first.raw()));
            transmute_copy(&joined)
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
