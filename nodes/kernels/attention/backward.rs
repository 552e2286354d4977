//! The gradients of attention, from scores computed again.
//!
//! With the weights `P = 2^(S - log_sum)`, `S = scale log2(e) Q K^T`, and the output's gradient `G`:
//! `dV = P^T G`, `dS = P (G V^T - rowsum(G O))`, `dQ = scale dS K`, `dK = scale dS^T Q`.

use pulp::{Simd, WithSimd};

use super::forward::whole_vectors;
use super::heads::Rows;
use super::tile::{Matrix, Product};
use crate::simd::{F32s, Singles, dot, exp2, lanes};

/// Queries that are looked at at once.
const QUERIES: usize = 64;

/// Keys that are looked at at once: with their values they fit in the second cache, their scores nearly in the first.
const BLOCK: usize = 192;

/// Tokens of a block in whole vectors: [`BLOCK`], or fewer where there is only one block.
fn block_width(lanes: usize, context: usize) -> usize {
    whole_vectors(lanes, context.min(BLOCK))
}

/// One head.
pub(super) struct Head<'a> {
    pub(super) query: Rows<'a>,
    pub(super) key: Rows<'a>,
    pub(super) value: Rows<'a>,
    pub(super) output: Rows<'a>,
    pub(super) grad: Rows<'a>,
    /// `[tokens]`
    pub(super) log_sums: Vec<f32>,
    pub(super) tokens: usize,
    pub(super) context: usize,
    pub(super) d: usize,
    pub(super) causal: bool,
    /// The query's gradient; those of keys and values.
    pub(super) wanted: [bool; 2],
}

/// The gradients of query, key and value, `[tokens, width]` with head_dim filled up to `width`.
pub(super) struct Gradients {
    pub(super) gradients: [Vec<f32>; 3],
    pub(super) width: usize,
}

impl WithSimd for Head<'_> {
    type Output = Gradients;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Gradients {
        let Self { tokens, context, d, .. } = self;
        let (width, key_width) = (whole_vectors(lanes::<S>(), d), block_width(lanes::<S>(), context));
        let scale = (d as f32).sqrt().recip();
        let query = self.query.padded(0, tokens, width, scale * std::f32::consts::LOG2_E);
        let grad = self.grad.padded(0, tokens, width, 1.0);
        // Scaled for dQ.
        let key = self.key.padded(0, context, width, scale);
        let key_block = d * key_width;
        let size = context.div_ceil(BLOCK) * key_block;
        let (mut keys, mut values) = (vec![0.0; size], vec![0.0; size]);
        self.key.transposed(context, key_width, &mut keys);
        self.value.transposed(context, key_width, &mut values);
        let means: Vec<f32> = (0..tokens).map(|i| dot(simd, self.grad.row(i), self.output.row(i))).collect();

        let mut d_query = vec![0.0; tokens * width];
        let (mut d_key, mut d_value) = (vec![0.0; context * width], vec![0.0; context * width]);
        let mut weights = vec![0.0; QUERIES * BLOCK];
        let mut slopes = vec![0.0; QUERIES * BLOCK];
        for block in (0..context).step_by(BLOCK) {
            let len = BLOCK.min(context - block);
            // With a causal mask, the queries before the first key of the block see none of it.
            let start = if self.causal { block / QUERIES * QUERIES } else { 0 };
            for first in (start..tokens).step_by(QUERIES) {
                let count = QUERIES.min(tokens - first);
                let rows = first * width;
                let scores = |a: &[f32], b: &[f32], c: &mut [f32]| {
                    simd.vectorize(Product {
                        values: Singles,
                        a: Matrix { values: &a[rows..], row: width, column: 1 },
                        b: &b[block / BLOCK * key_block..][..key_block],
                        b_row: key_width,
                        c,
                        c_row: BLOCK,
                        m: count,
                        n: whole_vectors(lanes::<S>(), len),
                        k: d,
                        add: false,
                    });
                };
                scores(&query, &keys, &mut weights);
                scores(&grad, &values, &mut slopes);
                let each = weights.chunks_exact_mut(BLOCK).zip(slopes.chunks_exact_mut(BLOCK)).take(count);
                for (i, (weights, slopes)) in each.enumerate() {
                    let i = first + i;
                    let seen = if self.causal { len.min((i + 1).saturating_sub(block)) } else { len };
                    let (log_sum, mean) = (F32s::splat(simd, self.log_sums[i]), F32s::splat(simd, means[i]));
                    let vectors = weights[..seen].chunks_mut(lanes::<S>());
                    for (weights, slopes) in vectors.zip(slopes[..seen].chunks_mut(lanes::<S>())) {
                        let p = exp2(simd, F32s::load(simd, weights) - log_sum);
                        p.store(weights);
                        (p * (F32s::load(simd, slopes) - mean)).store(slopes);
                    }
                    weights[seen..len].fill(0.0);
                    slopes[seen..len].fill(0.0);
                }
                if self.wanted[0] {
                    simd.vectorize(Product {
                        values: Singles,
                        a: Matrix { values: &slopes, row: BLOCK, column: 1 },
                        b: &key[block * width..],
                        b_row: width,
                        c: &mut d_query[rows..],
                        c_row: width,
                        m: count,
                        n: width,
                        k: len,
                        add: true,
                    });
                }
                if self.wanted[1] {
                    for (a, b, c) in [(&weights, &grad, &mut d_value), (&slopes, &query, &mut d_key)] {
                        simd.vectorize(Product {
                            values: Singles,
                            a: Matrix { values: a, row: 1, column: BLOCK },
                            b: &b[rows..],
                            b_row: width,
                            c: &mut c[block * width..],
                            c_row: width,
                            m: len,
                            n: width,
                            k: count,
                            add: true,
                        });
                    }
                }
            }
        }
        // The queries were times log2(e).
        d_key.iter_mut().for_each(|d_key| *d_key *= std::f32::consts::LN_2);
        Gradients { gradients: [d_query, d_key, d_value], width }
    }
}
