//! Attention as an operation.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor, module};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::backward;
use super::forward::{Chunk, Turned};
use super::heads::Heads;
use crate::array::{Output, filled, filled_tensor, tensor, widened};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::{Level, Number};

/// `softmax(Q K^T / sqrt(head_dim)) V`. With `causal`, a query sees the keys up to its own place only.
///
/// # Shapes
/// - query, output: `[batch, heads, tokens, head_dim]`
/// - key, value: `[batch, heads, context_tokens, head_dim]`
pub fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, causal: bool) -> Tensor<4> {
    let ([batch, heads, tokens, d], [_, _, context, _]) = (query.dims(), key.dims());
    let fits = key.dims() == [batch, heads, context, d] && value.dims() == key.dims() && (!causal || tokens == context);
    let alike = query.dtype() == key.dtype() && query.dtype() == value.dtype();
    if fits && alike && context > 0 && d > 0 && on_cpu(&query) && on_cpu(&key) && on_cpu(&value) {
        let kernel = Kernel { level: Level::for_products_of(query.dtype()), causal };
        let inputs = [query.into_dispatch(), key.into_dispatch(), value.into_dispatch()];
        return Tensor::from_dispatch(apply(kernel, inputs));
    }
    match query.dtype() {
        DType::F16 | DType::BF16 => with_wider_heads([query, key, value], d.next_multiple_of(TILE), causal),
        _ => plain([query, key, value], causal),
    }
}

/// What the tiles of a GPU's matrix units are wide. Burn's flash attention takes heads of whole tiles only and otherwise
/// keeps all scores: 268 MB an image for an outer layer of Stable Diffusion 1.5 at 512x512, which has 8 heads of 40 values
/// over 4096 tokens.
pub(crate) const TILE: usize = 16;

/// The operator of Burn.
fn plain([query, key, value]: [Tensor<4>; 3], causal: bool) -> Tensor<4> {
    module::attention(query, key, value, None, None, AttentionModuleOptions { is_causal: causal, ..Default::default() })
}

/// The same with heads of `width` values, the new ones zero: they add nothing to the scores, and the output's are cut off
/// again. The scale that the operator derives from the width is put right in the queries, which rounds them once more.
fn with_wider_heads([query, key, value]: [Tensor<4>; 3], width: usize, causal: bool) -> Tensor<4> {
    let d = query.dims()[3];
    if width == d {
        return whole_tiles([query, key, value], causal);
    }
    let wider = |x: Tensor<4>| {
        let [batch, heads, tokens, _] = x.dims();
        let zeros = Tensor::zeros([batch, heads, tokens, width - d], (&x.device(), x.dtype()));
        Tensor::cat(vec![x, zeros], 3)
    };
    let query = query.mul_scalar((width as f64 / d as f64).sqrt());
    whole_tiles([wider(query), wider(key), wider(value)], causal).narrow(3, 0, d)
}

/// Attention with heads that are as wide as some tiles.
fn whole_tiles(inputs: [Tensor<4>; 3], causal: bool) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if !causal && inputs.iter().all(crate::gpu::half_on_gpu) {
        return crate::gpu::flash(inputs);
    }
    plain(inputs, causal)
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
    causal: bool,
}

/// Inputs, output, and the binary logarithm of each query's sum of exponentials, `[batch, tokens, heads]`.
#[derive(Clone, Debug)]
struct Saved {
    inputs: [Heads; 3],
    output: FlexTensor,
    log_sums: Vec<f32>,
}

/// Queries that a thread takes at once.
fn queries_at_once(query: &Heads) -> usize {
    if query.batch * query.tokens.div_ceil(64) < 4 { 32 } else { 64 }
}

/// A tensor `[batch, tokens, heads, head_dim]` as `[batch, heads, tokens, head_dim]`: the order in which the heads are laid
/// side by side again without copying.
fn by_heads(tensor: FlexTensor) -> FlexTensor {
    tensor.transpose(1, 2)
}

/// What the threads share.
struct Work<'a> {
    level: Level,
    causal: bool,
    query: &'a Heads,
    key: &'a Heads,
    value: &'a Turned,
}

impl Work<'_> {
    /// # Shapes
    /// - output: `[batch, tokens, heads, head_dim]`
    /// - `log_sums`: `[batch, tokens, heads]`
    fn attend<T: Number>(&self, output: &mut [T], log_sums: &mut [f32]) {
        let Self { level, causal, query, key, value } = *self;
        let (heads, d) = (query.heads, query.head_dim);
        if output.is_empty() {
            return;
        }
        let rows = queries_at_once(query);
        // Chunks of one batch row each: the last one of a row may be shorter.
        let output = output.par_chunks_mut(query.tokens * heads * d);
        let log_sums = log_sums.par_chunks_mut(query.tokens * heads);
        output.zip(log_sums).enumerate().for_each(|(batch, (output, log_sums))| {
            let chunks = output.par_chunks_mut(rows * heads * d).zip(log_sums.par_chunks_mut(rows * heads));
            chunks.enumerate().for_each(|(i, (output, log_sums))| {
                let first = i * rows;
                level.run_with_values(Chunk { query, key, value, batch, first, causal, output, log_sums });
            });
        });
    }
}

impl Operation<3> for Kernel {
    type Saved = Saved;

    fn takes_half(&self) -> bool {
        self.level.takes_pairs()
    }

    fn forward(&self, inputs: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let as_they_are = inputs.clone().map(Heads::new);
        let (level, inputs) = match self.level.takes_pairs() && !as_they_are.iter().all(Heads::has_pairs) {
            true => (Level::best(), inputs.map(|x| Heads::new(widened(x)))),
            false => (self.level, as_they_are),
        };
        let [query, key, value] = &inputs;
        let value = Turned::new(level, value);
        let dtype = if level.takes_pairs() { DType::BF16 } else { DType::F32 };
        let mut log_sums = vec![0.0; query.batch * query.tokens * query.heads];
        let output = filled_tensor(dtype, [query.batch, query.tokens, query.heads, query.head_dim], |output| {
            let work = Work { level, causal: self.causal, query, key, value: &value };
            match output {
                Output::Singles(output) => work.attend(output, &mut log_sums),
                Output::Halves(output) => work.attend(output, &mut log_sums),
            }
        });
        let output = by_heads(output);
        (output.clone(), Saved { inputs, output, log_sums })
    }

    fn backward(&self, saved: Saved, grad: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Saved { inputs, output, log_sums } = saved;
        let (output, grad) = (Heads::new(output), Heads::new(grad));
        let [query, key, value] = &inputs;
        let heads = query.heads;
        let gradients: Vec<_> = (0..query.batch * heads)
            .into_par_iter()
            .map(|i| {
                let (batch, head) = (i / heads, i % heads);
                let log_sums = &log_sums[batch * query.tokens * heads + head..];
                self.level.run(backward::Head {
                    query: query.head(batch, head),
                    key: key.head(batch, head),
                    value: value.head(batch, head),
                    output: output.head(batch, head),
                    grad: grad.head(batch, head),
                    log_sums: log_sums.iter().copied().step_by(heads).take(query.tokens).collect(),
                    tokens: query.tokens,
                    context: key.tokens,
                    d: query.head_dim,
                    causal: self.causal,
                    wanted: [wanted[0], wanted[1] || wanted[2]],
                })
            })
            .collect();
        std::array::from_fn(|which| {
            let like = &inputs[which];
            let (tokens, d) = (like.tokens, like.head_dim);
            let (values, ()) = filled(like.batch * tokens * heads * d, |values| {
                if values.is_empty() {
                    return;
                }
                values.par_chunks_exact_mut(heads * d).with_min_len(64).enumerate().for_each(|(i, row)| {
                    for (head, row) in row.chunks_exact_mut(d).enumerate() {
                        let own = &gradients[i / tokens * heads + head];
                        row.copy_from_slice(&own.gradients[which][i % tokens * own.width..][..d]);
                    }
                });
            });
            wanted[which].then(|| by_heads(tensor(values, [like.batch, tokens, heads, d])))
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::testing::{check, check_bf16, random, run};

    /// `[batch, heads, tokens, head_dim]`, tokens of the context, causal.
    const CASES: &[([usize; 4], usize, bool)] = &[
        ([1, 1, 1, 1], 1, false),
        ([2, 3, 16, 8], 16, false),
        ([1, 2, 70, 40], 77, false),
        ([2, 2, 77, 64], 77, true),
        ([1, 1, 200, 80], 200, true),
        ([1, 2, 130, 160], 401, false),
        ([3, 1, 9, 13], 5, false),
        ([1, 1, 65, 512], 300, false),
        ([0, 2, 4, 8], 4, false),
    ];

    /// Compares all cases with the plain operators.
    fn compare(level: Level, check: impl Fn(&str, [Vec<f32>; 3], &Attend, &Attend)) {
        for &([batch, heads, tokens, d], context, causal) in CASES {
            // The layout in which models come to it: heads side by side in a token.
            let split = |x: Tensor<1>, tokens| x.reshape([batch, tokens, heads, d]).swap_dims(1, 2);
            let inputs = [("q", tokens), ("k", context), ("v", context)];
            let inputs = inputs.map(|(name, tokens)| random(name, batch * heads * tokens * d, 2.0));
            let ours = |[q, k, v]: [Tensor<1>; 3]| {
                let inputs = [split(q, tokens), split(k, context), split(v, context)];
                run::<_, 3, 4>(Kernel { level, causal }, inputs.map(Tensor::into_dispatch))
            };
            let plain = |[q, k, v]: [Tensor<1>; 3]| {
                let scores = split(q, tokens).matmul(split(k, context).swap_dims(2, 3)) / (d as f64).sqrt();
                let scores = if causal {
                    let hidden = Tensor::<2>::ones([tokens, context], &scores.device()).triu(1) * -1e9;
                    scores + hidden.reshape([1, 1, tokens, context])
                } else {
                    scores
                };
                let weights = burn::tensor::activation::softmax(scores, 3);
                weights.matmul(split(v, context)).flatten(0, 3)
            };
            let what = format!("{batch} x {heads} x {tokens} x {d} to {context}, causal {causal}, {level:?}");
            check(&what, inputs, &ours, &plain);
        }
    }

    type Attend<'a> = dyn Fn([Tensor<1>; 3]) -> Tensor<1> + 'a;

    #[test]
    fn heads_attend_as_by_the_plain_operators() {
        for level in Level::available() {
            compare(level, |what, inputs, ours, plain| check(what, inputs, 1e-5, ours, plain));
        }
    }

    /// Where the processor multiplies pairs of bfloat16s, heads of an even width, and elsewhere widened.
    #[test]
    fn bfloat16s_are_multiplied_as_they_are() {
        // The weights of a sum of values up to 2 are rounded by 2^-9 of themselves at most.
        let tolerance = 1.0 / 256.0;
        for level in Level::for_pairs().chain([Level::best()]) {
            compare(level, |what, inputs, ours, plain| check_bf16(what, inputs, tolerance, ours, plain));
        }
    }

    /// In half precision that is not multiplied as it is, values are rounded on the way in and out only; heads in a strided
    /// view.
    #[test]
    fn half_precision_is_storage() {
        let device = burn::tensor::Device::flex();
        let heads = |name| {
            let x = Tensor::<1>::from_floats(random(name, 2 * 70 * 3 * 8, 2.0).as_slice(), &device);
            x.reshape([2, 70, 3, 8]).swap_dims(1, 2)
        };
        for dtype in [burn::tensor::DType::F16, burn::tensor::DType::BF16] {
            let narrow = ["q", "k", "v"].map(|name| heads(name).cast(dtype));
            let [q, k, v] = narrow.clone().map(|x| x.cast(burn::tensor::DType::F32));
            let expected = attention(q, k, v, false).cast(dtype);
            let [q, k, v] = narrow;
            if !Level::for_products_of(dtype).takes_pairs() {
                let found = attention(q.clone(), k.clone(), v.clone(), false);
                found.into_data().assert_eq(&expected.into_data(), true);
            }
            // A part of a tensor.
            let part = attention(q.narrow(2, 5, 40), k.clone(), v.clone(), false);
            let whole = attention(heads("q").cast(dtype), k, v, false).narrow(2, 5, 40);
            part.into_data().assert_approx_eq::<f32>(&whole.into_data(), burn::tensor::Tolerance::absolute(1e-2));
        }
    }

    /// Scores far beyond what an exponential holds.
    #[test]
    fn large_scores_stay_finite() {
        let device = burn::tensor::Device::flex();
        let q = Tensor::<1>::from_floats(random("q", 300 * 16, 60.0).as_slice(), &device).reshape([1, 1, 300, 16]);
        let options = AttentionModuleOptions::default();
        let plain = module::attention(q.clone(), q.clone(), q.clone(), None, None, options);
        let ours = attention(q.clone(), q.clone(), q.clone(), false);
        ours.into_data().assert_approx_eq::<f32>(&plain.into_data(), burn::tensor::Tolerance::absolute(1e-3));
        // Weights and values up to 64 are rounded by 2^-9 of themselves each.
        let q = q.cast(DType::BF16);
        let wide = q.clone().cast(DType::F32);
        let plain = module::attention(wide.clone(), wide.clone(), wide, None, None, AttentionModuleOptions::default());
        let ours = attention(q.clone(), q.clone(), q, false).cast(DType::F32);
        ours.into_data().assert_approx_eq::<f32>(&plain.into_data(), burn::tensor::Tolerance::absolute(0.25));
    }

    #[test]
    fn wider_heads_change_nothing() {
        for (causal, context) in [(false, 7), (true, 9)] {
            let shaped = |name: &str, tokens: usize, d: usize| {
                let values = TensorData::new(random(name, 6 * tokens * d, 1.0), [2, 3, tokens, d]);
                Tensor::<4>::from_data(values, &Device::flex())
            };
            for d in [5, 16, 40] {
                let tensors = [shaped("q", 9, d), shaped("k", context, d), shaped("v", context, d)];
                let expected = plain(tensors.clone(), causal);
                let found = with_wider_heads(tensors, d.next_multiple_of(TILE), causal);
                assert_eq!(found.dims(), expected.dims());
                let error = (found - expected).abs().max().into_scalar::<f32>();
                assert!(error < 1e-6, "{error} with heads of {d}");
            }
        }
    }
}
