//! The values of attention.
//!
//! Scores have keys for rows and queries for columns, and so have all that is made of them. A vector then holds what
//! several queries make of one key: the largest score and the sum of a query are found without adding across a vector,
//! and no vector is filled up with zeros because heads are narrow or the context is short. Keys and values are left
//! operands, whose numbers are taken one by one.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::heads::Heads;
use super::tile::{Matrix, Product};
use crate::array::filled;
use crate::gemm::turned;
use crate::simd::{F32s, Level, Number, Values, WithValues, lanes};

/// Keys that are looked at before the sums are brought to a common scale: their scores stay in the first cache.
const BLOCK: usize = 96;

/// A score may become the exponent that others are measured by only when it is larger by that: less often than with
/// every larger one are the sums multiplied, and 2^8 costs a float no digit.
const LARGER: f32 = 8.0;

/// The next whole number of vectors.
pub(super) fn whole_vectors(lanes: usize, len: usize) -> usize {
    len.next_multiple_of(lanes)
}

/// The values of all heads in blocks of keys, each with rows for columns, where the level takes pairs by pairs of the same
/// number of two keys: `[batch, heads, blocks, head_dim, BLOCK]`. (Where they are, they may be a power of two apart, and
/// all in the same few places of the cache.)
pub(super) struct Turned {
    values: Vec<f32>,
    /// Values of a head.
    size: usize,
    /// Values of a row.
    width: usize,
    heads: usize,
    d: usize,
}

impl Turned {
    /// Of values that [have pairs](Heads::has_pairs) where the level takes them, and are float32 otherwise.
    pub(super) fn new(level: Level, value: &Heads) -> Self {
        let (context, heads, d) = (value.tokens, value.heads, value.head_dim);
        let numbers = if level.takes_pairs() { 2 } else { 1 };
        let width = BLOCK.min(context).div_ceil(numbers);
        let size = context.div_ceil(BLOCK) * d * width;
        let (values, ()) = filled(value.batch * heads * size, |values| {
            values.par_chunks_mut(size.max(1)).enumerate().for_each(|(i, values)| {
                let rows = value.head(i / heads, i % heads);
                match numbers {
                    1 => rows.transposed(context, width, values),
                    _ => rows.transposed_by_pairs(context, width, values),
                }
            });
        });
        Self { values, size, width, heads, d }
    }

    /// A left operand `[head_dim, BLOCK]`.
    fn block(&self, batch: usize, head: usize, block: usize) -> Matrix<'_> {
        let at = (batch * self.heads + head) * self.size + block * self.d * self.width;
        Matrix { values: &self.values[at..], row: self.width, column: 1 }
    }
}

/// A few queries of all heads.
pub(super) struct Chunk<'a, T> {
    pub(super) query: &'a Heads,
    pub(super) key: &'a Heads,
    pub(super) value: &'a Turned,
    pub(super) batch: usize,
    /// The first query.
    pub(super) first: usize,
    pub(super) causal: bool,
    /// `[queries, heads, head_dim]`
    pub(super) output: &'a mut [T],
    /// `[queries, heads]`
    pub(super) log_sums: &'a mut [f32],
}

impl<T: Number> WithValues for Chunk<'_, T> {
    #[inline(always)]
    fn with_values<S: Simd, V: Values>(self, simd: S, values: V) {
        let Self { query, key, value, batch, first, causal, output, log_sums } = self;
        let (heads, d) = (query.heads, query.head_dim);
        let count = log_sums.len() / heads;
        let width = whole_vectors(lanes::<S>(), count);
        let context = if causal { first + count } else { key.tokens };
        // Of the numbers that a query has.
        let depth = d / V::NUMBERS;
        let mut queries = vec![0.0; depth * width];
        let mut scores = vec![0.0; BLOCK * width];
        let mut sums = vec![0.0; d * width];
        let mut states = vec![State::new(simd); width / lanes::<S>()];
        let (mut scales, mut logs) = (vec![0.0; width], vec![0.0; width]);
        let mut found = vec![[0.0; AT_ONCE]; count];
        for head in 0..heads {
            query.head(batch, head).beginning_at(first).transposed(count, width, &mut queries);
            let keys = key.head(batch, head);
            states.fill(State::new(simd));
            sums.fill(0.0);
            for block in (0..context).step_by(BLOCK) {
                let len = BLOCK.min(context - block);
                values.vectorize(
                    simd,
                    Product {
                        values,
                        a: keys.beginning_at(block).matrix(),
                        b: &queries,
                        b_row: width,
                        c: &mut scores,
                        c_row: width,
                        m: len,
                        n: width,
                        k: depth,
                        add: false,
                    },
                );
                for (i, state) in states.iter_mut().enumerate() {
                    let column = i * lanes::<S>();
                    if causal {
                        hide(simd, &mut scores[column..], width, block..block + len, first + column);
                    }
                    state.take_in(simd, values, [&mut scores[column..], &mut sums[column..]], width, [len, d]);
                }
                values.vectorize(
                    simd,
                    Product {
                        values,
                        a: value.block(batch, head, block / BLOCK),
                        b: &scores,
                        b_row: width,
                        c: &mut sums,
                        c_row: width,
                        m: d,
                        n: width,
                        k: len.div_ceil(V::NUMBERS),
                        add: true,
                    },
                );
            }
            for (state, (scales, logs)) in
                states.iter().zip(scales.chunks_mut(lanes::<S>()).zip(logs.chunks_mut(lanes::<S>())))
            {
                (F32s::splat(simd, 1.0) / state.total).store(scales);
                state.largest.store(logs);
            }
            let each = log_sums.iter_mut().skip(head).step_by(heads);
            for ((log_sum, largest), scale) in each.zip(&logs).zip(&scales) {
                *log_sum = largest - scale.log2();
            }
            // A few numbers of all queries at a time.
            for k in (0..d).step_by(AT_ONCE) {
                turned(std::array::from_fn(|i| &sums[(k + i).min(d - 1) * width..][..count]), &mut found);
                let output = output.chunks_exact_mut(heads * d);
                for ((output, found), scale) in output.zip(&found).zip(&scales) {
                    let output = &mut output[head * d..][..d][k..];
                    let mut numbers = [T::default(); AT_ONCE];
                    for i in 0..AT_ONCE {
                        numbers[i] = T::narrow(found[i] * scale);
                    }
                    let len = AT_ONCE.min(output.len());
                    output[..len].copy_from_slice(&numbers[..len]);
                }
            }
        }
    }
}

/// Numbers that are turned at once.
const AT_ONCE: usize = 16;

/// Scores of keys that come after the query, from the query `first` on, become those of no key at all.
#[inline(always)]
fn hide<S: Simd>(simd: S, scores: &mut [f32], width: usize, keys: Range<usize>, first: usize) {
    /// Of as many lanes as a vector may have.
    const MOST: usize = 16;
    let places: [f32; MOST] = std::array::from_fn(|lane| lane as f32);
    let places = F32s::load(simd, &places);
    for (i, key) in keys.enumerate() {
        if key > first {
            let scores = &mut scores[i * width..];
            let before = F32s::splat(simd, (key - first) as f32);
            places.where_less(before, F32s::splat(simd, f32::NEG_INFINITY), F32s::load(simd, scores)).store(scores);
        }
    }
}

/// What is known of a vector of queries.
#[derive(Clone, Copy)]
struct State<S: Simd> {
    /// The exponent that scores are measured by, at most [`LARGER`] below the largest one so far.
    largest: F32s<S>,
    /// The sum of the exponentials.
    total: F32s<S>,
}

impl<S: Simd> State<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { largest: F32s::splat(simd, f32::NEG_INFINITY), total: F32s::splat(simd, 0.0) }
    }

    /// Turns the scores with `len` keys into exponentials as `values`, and brings what was summed up before to their scale.
    ///
    /// # Shapes
    /// - scores, sums: the first vector of `len` and of `d` rows, `width` values apart
    #[inline(always)]
    fn take_in<V: Values>(
        &mut self,
        simd: S,
        values: V,
        [scores, sums]: [&mut [f32]; 2],
        width: usize,
        [len, d]: [usize; 2],
    ) {
        let lanes = lanes::<S>();
        // Exponentials are powers of two here.
        let scale = F32s::splat(simd, std::f32::consts::LOG2_E / (d as f32).sqrt());
        // Two and two, in variables: what is indexed would be stored and loaded at each step.
        let (mut even, mut odd) = (F32s::load(simd, scores), F32s::load(simd, &scores[(len - 1) * width..]));
        for i in 0..len / 2 {
            even = even.max(F32s::load(simd, &scores[2 * i * width..]));
            odd = odd.max(F32s::load(simd, &scores[(2 * i + 1) * width..]));
        }
        let largest = even.max(odd) * scale;
        let growth = (largest - self.largest).largest();
        if growth > LARGER || growth.is_nan() {
            let largest = self.largest.max(largest);
            let smaller = values.exp2(simd, self.largest - largest);
            self.largest = largest;
            self.total = self.total * smaller;
            for k in 0..d {
                let sums = &mut sums[k * width..];
                (F32s::load(simd, sums) * smaller).store(&mut sums[..lanes]);
            }
        }
        let (at, mut total) = (-self.largest, self.total);
        // Joined values go where the numbers were, but no further than these were read.
        for i in 0..len / V::NUMBERS {
            let mut numbers = [F32s::splat(simd, 0.0); 2];
            for (j, number) in numbers[..V::NUMBERS].iter_mut().enumerate() {
                let score = F32s::load(simd, &scores[(i * V::NUMBERS + j) * width..]);
                *number = values.exp2(simd, score.mul_add(scale, at));
                total = total + *number;
            }
            values.join(simd, numbers).store(&mut scores[i * width..][..lanes]);
        }
        if len % V::NUMBERS > 0 {
            let number = values.exp2(simd, F32s::load(simd, &scores[(len - 1) * width..]).mul_add(scale, at));
            total = total + number;
            let joined = values.join(simd, [number, F32s::splat(simd, 0.0)]);
            joined.store(&mut scores[len / V::NUMBERS * width..][..lanes]);
        }
        self.total = total;
    }
}
