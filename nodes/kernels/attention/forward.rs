//! The values of attention.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::heads::{Heads, Rows};
use super::tile::{Matrix, Product};
use crate::array::filled;
use crate::simd::{F32s, Level, exp2_of_negative, lanes, max};

/// Keys that are looked at before the sums are brought to a common scale: with their values they fit in the second
/// cache, their scores nearly in the first.
pub(super) const BLOCK: usize = 192;

/// Keys in transposed blocks and values with their rows filled up to whole vectors, head by head.
pub(super) struct Packed {
    keys: Vec<f32>,
    values: Vec<f32>,
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

/// Packs all heads.
pub(super) fn pack(level: Level, key: &Heads, value: &Heads) -> Packed {
    let lanes = level.run(LanesOf);
    let (context, d) = (key.tokens, key.head_dim);
    let (key_width, value_width) = (block_width(lanes, context), whole_vectors(lanes, d));
    let count = key.batch * key.heads;
    let size = context.div_ceil(BLOCK) * d * key_width;
    let (keys, ()) = filled(count * size, |keys| {
        keys.par_chunks_mut(size.max(1)).enumerate().for_each(|(i, keys)| {
            key.head(i / key.heads, i % key.heads).transposed(context, key_width, keys);
        });
    });
    let (values, ()) = filled(count * context * value_width, |values| {
        values.par_chunks_mut((context * value_width).max(1)).enumerate().for_each(|(i, values)| {
            let rows = value.head(i / key.heads, i % key.heads);
            for (token, values) in values.chunks_exact_mut(value_width).enumerate() {
                values[..d].copy_from_slice(rows.row(token));
                values[d..].fill(0.0);
            }
        });
    });
    Packed { keys, values, heads: key.heads, context, key_width, value_width }
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

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { query, packed, batch, first, causal, output, log_sums } = self;
        let (heads, d, width) = (packed.heads, query.head_dim, packed.value_width);
        let count = log_sums.len() / heads;
        // Exponentials are powers of two here.
        let scale = std::f32::consts::LOG2_E / (d as f32).sqrt();
        let key_block = d * packed.key_width;
        let keys_of_head = packed.context.div_ceil(BLOCK) * key_block;
        let mut scores = vec![0.0; count * BLOCK];
        let mut sums = vec![0.0; count * width];
        for head in 0..heads {
            let i = batch * heads + head;
            let keys = &packed.keys[i * keys_of_head..][..keys_of_head];
            let values = &packed.values[i * packed.context * width..][..packed.context * width];
            let rows: Rows<'_> = query.head(batch, head);
            let queries = rows.padded(first, count, d, scale);
            // The largest score so far and the sum of exponentials, of each query.
            let mut state = vec![(f32::NEG_INFINITY, 0.0_f32); count];
            sums.fill(0.0);
            let context = if causal { first + count } else { packed.context };
            for block in (0..context).step_by(BLOCK) {
                let len = BLOCK.min(context - block);
                simd.vectorize(Product {
                    a: Matrix { values: &queries, row: d, column: 1 },
                    b: &keys[block / BLOCK * key_block..][..key_block],
                    b_row: packed.key_width,
                    c: &mut scores,
                    c_row: BLOCK,
                    m: count,
                    n: whole_vectors(lanes::<S>(), len),
                    k: d,
                    add: false,
                });
                let rows = scores.chunks_exact_mut(BLOCK).zip(sums.chunks_exact_mut(width)).zip(&mut state);
                for (i, ((scores, sums), state)) in rows.enumerate() {
                    let seen = if causal { len.min((first + i + 1).saturating_sub(block)) } else { len };
                    take_in(simd, &mut scores[..len], seen, sums, state);
                }
                simd.vectorize(Product {
                    a: Matrix { values: &scores, row: BLOCK, column: 1 },
                    b: &values[block * width..],
                    b_row: width,
                    c: &mut sums,
                    c_row: width,
                    m: count,
                    n: width,
                    k: len,
                    add: true,
                });
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

/// Turns the `seen` first scores of a query into exponentials, the others into zeros, and brings what was summed up
/// before to the scale of the new largest score.
#[inline(always)]
fn take_in<S: Simd>(simd: S, scores: &mut [f32], seen: usize, sums: &mut [f32], state: &mut (f32, f32)) {
    let (scores, hidden) = scores.split_at_mut(seen);
    hidden.fill(0.0);
    if scores.is_empty() {
        return;
    }
    let (before, sum) = *state;
    let largest = before.max(max(simd, scores));
    let lanes = lanes::<S>();
    let at = F32s::splat(simd, largest);
    let mut total = F32s::splat(simd, 0.0);
    let (whole, rest) = scores.split_at_mut(seen / lanes * lanes);
    for scores in whole.chunks_exact_mut(lanes) {
        let e = exp2_of_negative(simd, F32s::load(simd, scores) - at);
        total = total + e;
        e.store(scores);
    }
    let mut total = total.total();
    if !rest.is_empty() {
        exp2_of_negative(simd, F32s::load(simd, rest) - at).store(rest);
        total += rest.iter().sum::<f32>();
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
