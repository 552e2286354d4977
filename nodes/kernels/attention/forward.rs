//! The values of attention.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::heads::Heads;
use super::tile::{Matrix, Product};
use crate::array::filled;
use crate::simd::{F32s, Level, Values, WithValues, exp2_of_negative, lanes, max};

/// Keys that are looked at before the sums are brought to a common scale: with their values they fit in the second
/// cache, their scores nearly in the first.
pub(super) const BLOCK: usize = 192;

/// Scores that become values at once, at most: two vectors.
const MAX_STEP: usize = 32;

/// Keys in transposed blocks and values with their rows filled up to whole vectors, head by head.
pub(super) struct Packed {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Keys of a head.
    key_size: usize,
    /// Values of a head.
    value_size: usize,
    heads: usize,
    context: usize,
    /// Tokens of a block of keys, in whole vectors.
    key_width: usize,
    /// head_dim, in whole vectors.
    value_width: usize,
}

/// The next whole number of vectors.
pub(super) fn whole_vectors(lanes: usize, len: usize) -> usize {
    len.next_multiple_of(lanes)
}

/// Tokens of a block in whole vectors: [`BLOCK`], or fewer where there is only one block.
pub(super) fn block_width(lanes: usize, context: usize) -> usize {
    whole_vectors(lanes, context.min(BLOCK))
}

struct LanesOf;

impl WithSimd for LanesOf {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        lanes::<S>()
    }
}

/// Packs all heads, which [have pairs](Heads::has_pairs) where the level takes them, and are float32 otherwise.
pub(super) fn pack(level: Level, key: &Heads, value: &Heads) -> Packed {
    let lanes = level.run(LanesOf);
    let numbers = if level.takes_pairs() { 2 } else { 1 };
    let (context, d) = (key.tokens, key.head_dim);
    let (key_width, value_width) = (block_width(lanes, context), whole_vectors(lanes, d));
    let count = key.batch * key.heads;
    let key_size = context.div_ceil(BLOCK) * d / numbers * key_width;
    let (keys, ()) = filled(count * key_size, |keys| {
        keys.par_chunks_mut(key_size.max(1)).enumerate().for_each(|(i, keys)| {
            key.head(i / key.heads, i % key.heads).transposed(context, key_width, keys);
        });
    });
    let value_size = context.div_ceil(numbers) * value_width;
    let (values, ()) = filled(count * value_size, |values| {
        values.par_chunks_mut(value_size.max(1)).enumerate().for_each(|(i, values)| {
            let rows = value.head(i / key.heads, i % key.heads);
            match numbers {
                1 => rows.filled_up(context, value_width, values),
                _ => rows.filled_up_by_pairs(context, value_width, values),
            }
        });
    });
    Packed { keys, values, key_size, value_size, heads: key.heads, context, key_width, value_width }
}

/// A few queries of all heads.
pub(super) struct Chunk<'a> {
    pub(super) query: &'a Heads,
    pub(super) packed: &'a Packed,
    pub(super) batch: usize,
    /// The first query.
    pub(super) first: usize,
    pub(super) causal: bool,
    /// `[queries, heads, head_dim]`
    pub(super) output: &'a mut [f32],
    /// `[queries, heads]`
    pub(super) log_sums: &'a mut [f32],
}

impl WithValues for Chunk<'_> {
    #[inline(always)]
    fn with_values<S: Simd, V: Values>(self, simd: S, values: V) {
        let Self { query, packed, batch, first, causal, output, log_sums } = self;
        let (heads, d, width) = (packed.heads, query.head_dim, packed.value_width);
        let count = log_sums.len() / heads;
        // Exponentials are powers of two here.
        let scale = std::f32::consts::LOG2_E / (d as f32).sqrt();
        // Of the numbers that a query has.
        let depth = d / V::NUMBERS;
        let key_block = depth * packed.key_width;
        let mut queries = Vec::with_capacity(count * depth);
        let mut scores = vec![0.0; count * BLOCK];
        let mut sums = vec![0.0; count * width];
        for head in 0..heads {
            let i = batch * heads + head;
            let keys = &packed.keys[i * packed.key_size..][..packed.key_size];
            let own = &packed.values[i * packed.value_size..][..packed.value_size];
            query.head(batch, head).copied(first, count, &mut queries);
            // The largest score so far and the sum of exponentials, of each query.
            let mut state = vec![(f32::NEG_INFINITY, 0.0_f32); count];
            sums.fill(0.0);
            let context = if causal { first + count } else { packed.context };
            for block in (0..context).step_by(BLOCK) {
                let len = BLOCK.min(context - block);
                values.vectorize(
                    simd,
                    Product {
                        values,
                        a: Matrix { values: &queries, row: depth, column: 1 },
                        b: &keys[block / BLOCK * key_block..][..key_block],
                        b_row: packed.key_width,
                        c: &mut scores,
                        c_row: BLOCK,
                        m: count,
                        n: whole_vectors(lanes::<S>(), len),
                        k: depth,
                        add: false,
                    },
                );
                let rows = scores.chunks_exact_mut(BLOCK).zip(sums.chunks_exact_mut(width)).zip(&mut state);
                for (i, ((scores, sums), state)) in rows.enumerate() {
                    let seen = if causal { len.min((first + i + 1).saturating_sub(block)) } else { len };
                    take_in(simd, values, scale, scores, seen, len, sums, state);
                }
                values.vectorize(
                    simd,
                    Product {
                        values,
                        a: Matrix { values: &scores, row: BLOCK, column: 1 },
                        b: &own[block / V::NUMBERS * width..],
                        b_row: width,
                        c: &mut sums,
                        c_row: width,
                        m: count,
                        n: width,
                        k: len.div_ceil(V::NUMBERS),
                        add: true,
                    },
                );
            }
            for (i, ((largest, sum), sums)) in state.iter().zip(sums.chunks_exact(width)).enumerate() {
                let output = &mut output[(i * heads + head) * d..][..d];
                let scale = F32s::splat(simd, sum.recip());
                for (output, sums) in output.chunks_mut(lanes::<S>()).zip(sums.chunks_exact(lanes::<S>())) {
                    (F32s::load(simd, sums) * scale).store(output);
                }
                log_sums[i * heads + head] = largest + sum.log2();
            }
        }
    }
}

/// Turns the `seen` first scores of a query, times `scale`, into exponentials, those up to `len` into zeros, both as
/// `values`, and brings what was summed up before to the scale of the new largest score.
#[allow(clippy::too_many_arguments)] // A step of the loop above.
#[inline(always)]
fn take_in<S: Simd, V: Values>(
    simd: S,
    values: V,
    scale: f32,
    scores: &mut [f32],
    seen: usize,
    len: usize,
    sums: &mut [f32],
    state: &mut (f32, f32),
) {
    let lanes = lanes::<S>();
    let (before, sum) = *state;
    let largest = before.max(max(simd, &scores[..seen]) * scale);
    let (at, scale) = (F32s::splat(simd, -largest), F32s::splat(simd, scale));
    let mut total = F32s::splat(simd, 0.0);
    // Joined values go where the numbers were, but no further than these were read.
    let step = V::NUMBERS * lanes;
    let whole = seen / step * step;
    // Loops, not closures: what is not inlined is not compiled for these instructions.
    let mut numbers = [F32s::splat(simd, 0.0); 2];
    for from in (0..whole).step_by(step) {
        for (i, numbers) in numbers[..V::NUMBERS].iter_mut().enumerate() {
            let scores = F32s::load(simd, &scores[from + i * lanes..]);
            *numbers = exp2_of_negative(simd, scores.mul_add(scale, at));
            total = total + *numbers;
        }
        values.join(simd, numbers).store(&mut scores[from / V::NUMBERS..][..lanes]);
    }
    let mut total = total.total();
    if seen > whole {
        let mut rest = [0.0; MAX_STEP];
        for (scores, rest) in scores[whole..seen].chunks(lanes).zip(rest.chunks_mut(lanes)) {
            let exponentials = exp2_of_negative(simd, F32s::load(simd, scores).mul_add(scale, at));
            exponentials.store(&mut rest[..scores.len()]);
        }
        total += rest[..seen - whole].iter().sum::<f32>();
        numbers[0] = F32s::load(simd, &rest);
        numbers[1] = F32s::load(simd, &rest[lanes..]);
        values.join(simd, numbers).store(&mut scores[whole / V::NUMBERS..][..lanes]);
    }
    let written = seen.next_multiple_of(step) / V::NUMBERS;
    if let Some(hidden) = scores.get_mut(written..len.div_ceil(V::NUMBERS)) {
        hidden.fill(0.0);
    }
    if largest > before {
        let smaller = (before - largest).exp2();
        for sums in sums.chunks_exact_mut(lanes) {
            (F32s::load(simd, sums) * smaller).store(sums);
        }
        *state = (largest, sum * smaller + total);
    } else {
        *state = (largest, sum + total);
    }
}
