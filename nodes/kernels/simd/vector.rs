//! Vectors of float32 with operators, so that kernels read like the formulas they compute.

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Simd;

use super::values::Values;

/// As many float32 values as a register holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32s<S: Simd> {
    simd: S,
    v: S::f32s,
}

/// How many values a vector holds.
pub(crate) const fn lanes<S: Simd>() -> usize {
    S::F32_LANES
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl<S: Simd> F32s<S> {
    /// The same value in all places.
    #[inline(always)]
    pub(crate) fn splat(simd: S, value: f32) -> Self {
        Self { simd, v: simd.splat_f32s(value) }
    }

    /// The first values of a slice, and zeros where it is too short.
    #[inline(always)]
    pub(crate) fn load(simd: S, values: &[f32]) -> Self {
        if values.len() >= S::F32_LANES {
            let (whole, _) = S::as_simd_f32s(&values[..S::F32_LANES]);
            Self { simd, v: whole[0] }
        } else {
            Self { simd, v: simd.partial_load_f32s(values) }
        }
    }

    /// Writes to the front of a slice, as much as it takes.
    #[inline(always)]
    pub(crate) fn store(self, values: &mut [f32]) {
        if values.len() >= S::F32_LANES {
            let (whole, _) = S::as_mut_simd_f32s(&mut values[..S::F32_LANES]);
            whole[0] = self.v;
        } else {
            self.simd.partial_store_f32s(values, self.v);
        }
    }

    /// The register.
    #[inline(always)]
    pub(super) fn raw(self) -> S::f32s {
        self.v
    }

    /// The values of a register.
    #[inline(always)]
    pub(super) fn of_raw(simd: S, v: S::f32s) -> Self {
        Self { simd, v }
    }

    /// `self * b + c`, where `self` and `b` are what `values` tells.
    #[inline(always)]
    pub(crate) fn mul_add_of<V: Values>(self, values: V, b: Self, c: Self) -> Self {
        Self { v: values.multiply_add(self.simd, self.v, b.v, c.v), ..self }
    }

    /// `self * b + c`, in one rounding where the processor can.
    #[inline(always)]
    pub(crate) fn mul_add(self, b: Self, c: Self) -> Self {
        Self { v: self.simd.mul_add_e_f32s(self.v, b.v, c.v), ..self }
    }

    /// The larger one of each pair.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self { v: self.simd.max_f32s(self.v, other.v), ..self }
    }

    /// `then` where `self < bound`, `otherwise` elsewhere and for NaN.
    #[inline(always)]
    pub(crate) fn where_less(self, bound: Self, then: Self, otherwise: Self) -> Self {
        let mask = self.simd.less_than_f32s(self.v, bound.v);
        Self { v: self.simd.select_f32s(mask, then.v, otherwise.v), ..self }
    }

    /// `2^n` for whole numbers `n` from -126 to 127 given as `n + 1.5 * 2^23`: their lowest bits hold n.
    #[inline(always)]
    pub(crate) fn exp2_of_shifted(self) -> Self {
        let simd = self.simd;
        let biased = simd.add_u32s(simd.transmute_u32s_f32s(self.v), simd.splat_u32s(127));
        let bits = simd.wrapping_dyn_shl_u32s(biased, simd.splat_u32s(23));
        Self { v: simd.transmute_f32s_u32s(bits), ..self }
    }

    /// The sum of the values.
    #[inline(always)]
    pub(crate) fn total(self) -> f32 {
        self.simd.reduce_sum_f32s(self.v)
    }

    /// The largest of the values.
    #[inline(always)]
    pub(crate) fn largest(self) -> f32 {
        self.simd.reduce_max_f32s(self.v)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident) => {
        impl<S: Simd> $trait for F32s<S> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self { v: self.simd.$function(self.v, other.v), ..self }
            }
        }
        /// With the same value in all places.
        impl<S: Simd> $trait<f32> for F32s<S> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.$method(Self::splat(self.simd, other))
            }
        }
    };
}

operator!(Add, add, add_f32s);
operator!(Sub, sub, sub_f32s);
operator!(Mul, mul, mul_f32s);
operator!(Div, div, div_f32s);

impl<S: Simd> Neg for F32s<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { v: self.simd.neg_f32s(self.v), ..self }
    }
}
