//! Bfloat16s as float32 and back. Not written with vectors, but compiled for those of the processor.

use pulp::{Simd, WithSimd};

use super::Level;

/// What float32 values are stored as. Methods are inlined, which compiles them for the caller's instruction set.
pub(crate) trait Number: Copy + Default + Send + Sync {
    /// The value.
    fn wide(self) -> f32;

    /// The nearest one to a value.
    fn narrow(value: f32) -> Self;
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

/// The bits of a bfloat16. Of two that are as near, the nearest is the one with an even last bit; no number remains none.
#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Number for u16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // A quiet one, whatever its payload was.
        let none = bits >> 16 | 0x40;
        (if bits & 0x7fff_ffff > 0x7f80_0000 { none } else { nearest }) as u16
    }
}

/// Bfloat16s as float32.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn widened_halves(level: Level, from: &[u16], to: &mut [f32]) {
    struct Widen<'a>(&'a [u16], &'a mut [f32]);
    impl WithSimd for Widen<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (to, from) in self.1.iter_mut().zip(self.0) {
                *to = from.wide();
            }
        }
    }
    assert_eq!(from.len(), to.len(), "bfloat16s and the values that they become");
    level.run(Widen(from, to));
}

/// Values rounded to the nearest bfloat16.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn rounded(level: Level, from: &[f32], to: &mut [u16]) {
    struct Round<'a>(&'a [f32], &'a mut [u16]);
    impl WithSimd for Round<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (to, from) in self.1.iter_mut().zip(self.0) {
                *to = u16::narrow(*from);
            }
        }
    }
    assert_eq!(from.len(), to.len(), "values and the bfloat16s that they become");
    level.run(Round(from, to));
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn bfloat16s_are_those_of_another_implementation() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        // Each with nothing below its last bit, with half of it, and with a bit less and more than that.
        let values = all.iter().flat_map(|&bits| [0, 0x7fff, 0x8000, 0x8001].map(|low| u32::from(bits) << 16 | low));
        let values: Vec<f32> = values.map(f32::from_bits).collect();
        for level in Level::available() {
            let mut wide = vec![0.0; all.len()];
            widened_halves(level, &all, &mut wide);
            for (wide, bits) in wide.iter().zip(&all) {
                assert_eq!(wide.to_bits(), u32::from(*bits) << 16, "{level:?}");
            }
            let mut found = vec![0; values.len()];
            rounded(level, &values, &mut found);
            for (found, value) in found.iter().zip(&values) {
                assert_eq!(*found, bf16::from_f32(*value).to_bits(), "{value:e}, {:x}, {level:?}", value.to_bits());
            }
        }
    }
}
