//! Functions of single values, on slices.

use pulp::{Simd, WithSimd};

use super::Level;
use super::vector::{F32s, lanes};

/// A function of `N` values, on vectors.
pub(crate) trait Map<const N: usize>: Copy + Sync {
    /// To be marked `#[inline(always)]`, which compiles it for the caller's instruction set.
    fn map<S: Simd>(self, simd: S, values: [F32s<S>; N]) -> F32s<S>;
}

/// Fills `output` with a function of the values at the same places of the inputs, on this thread.
///
/// # Panics
/// When an input is shorter than the output.
pub(crate) fn map<M: Map<N>, const N: usize>(level: Level, function: M, inputs: [&[f32]; N], output: &mut [f32]) {
    let inputs = inputs.map(|input| &input[..output.len()]);
    level.run(Mapped { function, inputs, output });
}

struct Mapped<'a, M, const N: usize> {
    function: M,
    inputs: [&'a [f32]; N],
    output: &'a mut [f32],
}

impl<M: Map<N>, const N: usize> WithSimd for Mapped<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { function, inputs, output } = self;
        // Loops, not functions of arrays and iterators: what is not inlined is not compiled for these instructions.
        let mut values = [F32s::splat(simd, 0.0); N];
        for (i, output) in output.chunks_mut(lanes::<S>()).enumerate() {
            let at = i * lanes::<S>()..i * lanes::<S>() + output.len();
            for (value, input) in values.iter_mut().zip(&inputs) {
                *value = F32s::load(simd, &input[at.clone()]);
            }
            function.map(simd, values).store(output);
        }
    }
}
