//! Linear layers.

use burn::nn::Linear;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::pack::Matrix;
use super::product::product;
use crate::array::{Output, contiguous, dims, filled, filled_tensor, pairs, tensor, widened};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::Level;

/// A linear layer.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - output: `[.., d_output]`
///
/// # Panics
/// When the rows of `x` are not those of the layer.
pub fn linear<const D: usize>(linear: &Linear, x: Tensor<D>) -> Tensor<D> {
    let weight = linear.weight.val();
    #[cfg(feature = "gpu")]
    if crate::gpu::half_on_gpu(&x) && x.dtype() == weight.dtype() {
        return crate::gpu::linear(weight, linear.bias.as_ref().map(|bias| bias.val()), x);
    }
    if !on_cpu(&x) || !on_cpu(&weight) {
        return linear.forward(x);
    }
    assert_eq!(x.dims()[D - 1], weight.dims()[0], "the width of a linear layer's input");
    let level = if x.dtype() == weight.dtype() { Level::for_products_of(x.dtype()) } else { Level::best() };
    let kernel = Kernel { level };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match &linear.bias {
        Some(bias) => apply(kernel, [x, weight, bias.val().into_dispatch()]),
        None => apply(kernel, [x, weight]),
    })
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
}

/// The weights `[d_input, d_output]`, which may be stored either way.
fn matrix(weight: &FlexTensor) -> Matrix<'_> {
    let [row, column] = [0, 1].map(|axis| weight.layout().strides()[axis].unsigned_abs());
    Matrix { values: &weight.storage::<f32>()[weight.layout().start_offset()..], row, column }
}

fn rows(values: &[f32], width: usize) -> Matrix<'_> {
    Matrix { values, row: width, column: 1 }
}

/// Input and weights of bfloat16 with two values of the depth as one, where these lie beside each other.
fn pairs_of<'a>(x: &'a FlexTensor, weight: &'a FlexTensor) -> Option<[Matrix<'a>; 2]> {
    let [d_input, _] = sizes(weight);
    let [along, across] = [0, 1].map(|axis| weight.layout().strides()[axis].unsigned_abs());
    if along != 1 || !d_input.is_multiple_of(2) || !across.is_multiple_of(2) {
        return None;
    }
    Some([rows(pairs(x)?, d_input / 2), Matrix { values: pairs(weight)?, row: 1, column: across / 2 }])
}

/// Of the input, the weights and, where there is one, the bias.
impl<const N: usize> Operation<N> for Kernel {
    /// The input and the weights.
    type Saved = [FlexTensor; 2];

    fn takes_half(&self) -> bool {
        self.level.takes_pairs()
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved) {
        let mut inputs = inputs.into_iter();
        let (Some(x), Some(weight), bias) = (inputs.next(), inputs.next(), inputs.next().map(contiguous)) else {
            unreachable!("a linear layer has two or three inputs");
        };
        let bias = bias.map(widened);
        let (x, weight) = (contiguous(x), plain(weight));
        let [d_input, d_output] = sizes(&weight);
        let mut shape = dims(&x);
        let count = shape.iter().rev().skip(1).product();
        if let Some(width) = shape.last_mut() {
            *width = d_output;
        }
        let bias = bias.as_ref().map(crate::array::values);
        let y = filled_tensor(x.dtype(), shape, |y| {
            if self.level.takes_pairs()
                && let Some([x, weight]) = pairs_of(&x, &weight)
            {
                return product(self.level, x, weight, bias, y, [count, d_input / 2, d_output]);
            }
            let level = if self.level.takes_pairs() { Level::best() } else { self.level };
            let (x, weight) = (widened(x.clone()), widened(weight.clone()));
            let x = rows(crate::array::values(&x), d_input);
            product(level, x, matrix(&weight), bias, y, [count, d_input, d_output]);
        });
        (y, [x, weight])
    }

    fn backward(&self, [x, weight]: Self::Saved, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let [d_input, d_output] = sizes(&weight);
        let grad = contiguous(grad);
        let dy = rows(crate::array::values(&grad), d_output);
        let count = dims(&grad).iter().rev().skip(1).product();
        std::array::from_fn(|input| {
            if !wanted[input] {
                return None;
            }
            Some(match input {
                0 => {
                    let turned = matrix(&weight).transposed();
                    let (dx, ()) = filled(count * d_input, |dx| {
                        product(self.level, dy, turned, None, Output::Singles(dx), [count, d_output, d_input]);
                    });
                    tensor(dx, dims(&x))
                }
                1 => {
                    let x = rows(crate::array::values(&x), d_input).transposed();
                    let (dw, ()) = filled(d_input * d_output, |dw| {
                        product(self.level, x, dy, None, Output::Singles(dw), [d_input, count, d_output]);
                    });
                    tensor(dw, [d_input, d_output])
                }
                _ => {
                    let mut sums = vec![0.0; d_output];
                    for dy in dy.values.chunks_exact(d_output.max(1)) {
                        for (sum, dy) in sums.iter_mut().zip(dy) {
                            *sum += dy;
                        }
                    }
                    tensor(sums, [d_output])
                }
            })
        })
    }
}

fn sizes(weight: &FlexTensor) -> [usize; 2] {
    [0, 1].map(|axis| weight.layout().shape()[axis])
}

/// Weights that were flipped, which no model does, are copied.
fn plain(weight: FlexTensor) -> FlexTensor {
    if weight.layout().strides().iter().any(|&stride| stride < 0) { weight.to_contiguous() } else { weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_bf16, random, run};

    /// Tokens, `d_input`, `d_output`, and whether the weights are stored with their rows for columns.
    type Case = ([usize; 3], bool);

    fn cases() -> impl Iterator<Item = Case> {
        let sizes = [
            [1, 1, 1],
            [1, 2, 1],
            [2, 5, 40],
            [77, 64, 33],
            [300, 200, 70],
            [9, 400, 320],
            [600, 16, 8],
            [70, 3, 64],
            [0, 4, 4],
        ];
        sizes.into_iter().flat_map(|sizes| [(sizes, false), (sizes, true)])
    }

    /// The weights in a view, as they are loaded, where they are turned.
    fn shaped(
        ([count, d_input, d_output], turned): Case,
        [x, weight, bias]: [Tensor<1>; 3],
    ) -> (Tensor<3>, Tensor<2>, Tensor<1>) {
        let weight: Tensor<2> = match turned {
            true => weight.reshape([d_output, d_input]).transpose(),
            false => weight.reshape([d_input, d_output]),
        };
        (x.reshape([count, 1, d_input]), weight, bias)
    }

    fn ours(level: Level, case: Case, tensors: [Tensor<1>; 3]) -> Tensor<1> {
        let (x, weight, bias) = shaped(case, tensors);
        run::<_, 3, 3>(Kernel { level }, [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()])
    }

    fn plain(case: Case, tensors: [Tensor<1>; 3]) -> Tensor<1> {
        let (x, weight, bias) = shaped(case, tensors);
        if case.0[0] == 0 {
            return x.reshape([0]);
        }
        (x.matmul(weight.unsqueeze()) + bias.unsqueeze()).flatten(0, 2)
    }

    fn tensors(([count, d_input, d_output], _): Case) -> [Vec<f32>; 3] {
        let weight = random("weight", d_input * d_output, 1.0);
        [random("x", count * d_input, 1.0), weight, random("bias", d_output, 1.0)]
    }

    #[test]
    fn values_and_gradients_are_those_of_the_plain_operators() {
        for level in Level::available() {
            for case in cases() {
                let what = format!("{case:?}, {level:?}");
                check(&what, tensors(case), 1e-5, |x| ours(level, case, x), |x| plain(case, x));
            }
        }
    }

    /// Where the processor multiplies pairs of bfloat16s, those that lie side by side, and elsewhere widened.
    #[test]
    fn bfloat16s_are_multiplied_as_they_are() {
        for level in Level::for_pairs().chain([Level::best()]) {
            for case in cases() {
                let what = format!("{case:?}, {level:?}");
                check_bf16(&what, tensors(case), 1e-5, |x| ours(level, case, x), |x| plain(case, x));
            }
        }
    }
}
