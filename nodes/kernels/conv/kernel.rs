//! The operation on tensors.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::geometry::Geometry;
use super::input_gradient::input_gradient;
use super::weight_gradient::weight_gradient;
use super::windows::{product, product_of_halves};
use crate::array::{Output, contiguous, dims, filled, filled_tensor, halves, tensor, values, widened};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::Level;

/// A convolution, as the layer is configured; those in groups, with dilation or [`PaddingConfig2d::Same`] take Burn's operators everywhere.
///
/// # Shapes
/// - x: `[batch, in_channels, in_height, in_width]`
/// - output: `[batch, out_channels, out_height, out_width]`
///
/// # Panics
/// When `x` has another number of channels than the layer, or is smaller than its kernel.
pub fn conv2d(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let [out_channels, in_channels, ..] = conv.weight.dims();
    let padding = match conv.padding {
        PaddingConfig2d::Valid => Some([0; 4]),
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Same => None,
    };
    let Some([top, left, bottom, right]) = padding.filter(|_| conv.groups == 1 && conv.dilation == [1, 1]) else {
        return conv.forward(x);
    };
    #[cfg(feature = "gpu")]
    if crate::gpu::half_on_gpu(&x) && x.dtype() == conv.weight.val().dtype() {
        return crate::gpu::conv2d(conv, x, [top, left, bottom, right]);
    }
    if !on_cpu(&x) || !on_cpu(&conv.weight.val()) {
        return conv.forward(x);
    }
    let [batch, channels, height, width] = x.dims();
    assert_eq!(channels, in_channels, "channels of a convolution's input");
    let output = |axis: usize, padded: usize| {
        let (kernel, stride) = (conv.kernel_size[axis], conv.stride[axis]);
        assert!(padded >= kernel, "a convolution of {kernel} over {padded} values");
        (padded - kernel) / stride + 1
    };
    let geometry = Geometry {
        batch,
        in_channels,
        out_channels,
        input: [height, width],
        output: [output(0, height + top + bottom), output(1, width + left + right)],
        kernel: conv.kernel_size,
        stride: conv.stride,
        padding: [top, left],
    };
    let weight = conv.weight.val();
    // A pair is of two channels.
    let paired = x.dtype() == weight.dtype() && in_channels.is_multiple_of(2);
    let level = if paired { Level::for_products_of(x.dtype()) } else { Level::best() };
    let kernel = Kernel { level, geometry };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match &conv.bias {
        Some(bias) => apply(kernel, [x, weight, bias.val().into_dispatch()]),
        None => apply(kernel, [x, weight]),
    })
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
    geometry: Geometry,
}

/// Of the input, the weights and, where there is one, the bias.
impl<const N: usize> Operation<N> for Kernel {
    /// The input and the weights.
    type Saved = [FlexTensor; 2];

    fn takes_half(&self) -> bool {
        self.level.takes_pairs()
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved) {
        let mut inputs = inputs.into_iter().map(contiguous);
        let mut next = || inputs.next();
        let (Some(x), Some(weight), bias) = (next(), next(), next()) else {
            unreachable!("a convolution has two or three inputs");
        };
        let geometry = &self.geometry;
        let bias = bias.map(widened);
        let bias = bias.as_ref().map(values);
        let taps: Vec<[isize; 2]> = geometry.places().collect();
        let shape = [geometry.batch, geometry.out_channels, geometry.output[0], geometry.output[1]];
        let y = filled_tensor(x.dtype(), shape, |y| match y {
            Output::Halves(y) => {
                let windows = geometry.windows(&halves(&x)[..x.layout().num_elements()], &taps);
                product_of_halves(self.level, &windows, halves(&weight), bias, y);
            }
            Output::Singles(y) => product(self.level, &geometry.windows(values(&x), &taps), values(&weight), bias, y),
        });
        (y, [x, weight])
    }

    fn backward(&self, [x, weight]: Self::Saved, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N] {
        let geometry = &self.geometry;
        let grad = contiguous(grad);
        let dy = values(&grad);
        let filled = |len, fill: &dyn Fn(&mut [f32])| filled(len, |values| fill(values)).0;
        std::array::from_fn(|input| {
            if !wanted[input] {
                return None;
            }
            Some(match input {
                0 => {
                    let dx = filled(x.layout().num_elements(), &|dx| {
                        input_gradient(self.level, geometry, values(&weight), dy, dx);
                    });
                    tensor(dx, dims(&x))
                }
                1 => {
                    let dw = filled(weight.layout().num_elements(), &|dw| {
                        weight_gradient(self.level, geometry, values(&x), dy, dw);
                    });
                    tensor(dw, dims(&weight))
                }
                _ => tensor(bias_gradient(geometry, dy), [geometry.out_channels]),
            })
        })
    }
}

/// The sums over all positions of each channel.
fn bias_gradient(geometry: &Geometry, dy: &[f32]) -> Vec<f32> {
    let size = geometry.out_size();
    let of_channel = |channel: usize| {
        let images = (0..geometry.batch).map(|image| {
            let dy = &dy[(image * geometry.out_channels + channel) * size..][..size];
            // Sixteen sums side by side, which also keeps them small and so exact.
            let mut sums = [0.0; 16];
            for dy in dy.chunks(16) {
                for (sum, dy) in sums.iter_mut().zip(dy) {
                    *sum += dy;
                }
            }
            sums.iter().sum::<f32>()
        });
        images.sum()
    };
    (0..geometry.out_channels).into_par_iter().map(of_channel).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::module;
    use burn::tensor::ops::ConvOptions;

    use super::*;
    use crate::conv::winograd::Square;
    use crate::conv::winograd_gradient;
    use crate::testing::{check, check_bf16, random, run};

    struct Case {
        /// Batch, input and output channels.
        sizes: [usize; 3],
        input: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        /// Above, below; left, right.
        padding: [(usize, usize); 2],
    }

    const fn square(sizes: [usize; 3], input: usize, kernel: usize, stride: usize, padding: usize) -> Case {
        Case { sizes, input: [input; 2], kernel: [kernel; 2], stride: [stride; 2], padding: [(padding, padding); 2] }
    }

    const CASES: &[Case] = &[
        square([1, 1, 1], 1, 1, 1, 0),
        square([2, 3, 5], 8, 3, 1, 1),
        square([3, 33, 40], 4, 3, 1, 1),
        square([2, 16, 8], 16, 1, 1, 0),
        square([5, 4, 32], 2, 3, 1, 1),
        square([2, 6, 9], 9, 3, 2, 1),
        square([2, 5, 4], 8, 3, 2, 1),
        square([1, 4, 3], 12, 3, 1, 0),
        square([1, 3, 7], 7, 1, 2, 0),
        square([0, 3, 7], 5, 3, 1, 1),
        square([1, 2, 2], 70, 3, 1, 1),
        // The downsampler of the autoencoder pads below and to the right only.
        Case { sizes: [2, 8, 8], input: [8, 10], kernel: [3, 3], stride: [2, 2], padding: [(0, 1), (0, 1)] },
        Case { sizes: [1, 2, 35], input: [9, 5], kernel: [2, 5], stride: [3, 1], padding: [(2, 0), (1, 4)] },
        // Large enough for transformed tiles: whole runs of them, and what is left at the edges.
        square([2, 50, 40], 16, 3, 1, 1),
        square([9, 40, 44], 9, 3, 1, 1),
        square([2, 40, 200], 17, 3, 1, 0),
        square([3, 96, 130], 24, 3, 1, 1),
        // More channels and more tiles than are transformed at once.
        square([1, 200, 64], 48, 3, 1, 1),
        Case { sizes: [3, 40, 50], input: [11, 24], kernel: [3, 3], stride: [1, 1], padding: [(2, 0), (0, 2)] },
        Case { sizes: [1, 70, 400], input: [5, 7], kernel: [3, 3], stride: [1, 1], padding: [(1, 1), (1, 1)] },
    ];

    fn geometry(case: &Case) -> Geometry {
        let [batch, in_channels, out_channels] = case.sizes;
        let output = |axis: usize| {
            let (before, after) = case.padding[axis];
            (case.input[axis] + before + after - case.kernel[axis]) / case.stride[axis] + 1
        };
        Geometry {
            batch,
            in_channels,
            out_channels,
            input: case.input,
            output: [output(0), output(1)],
            kernel: case.kernel,
            stride: case.stride,
            padding: case.padding.map(|(before, _)| before),
        }
    }

    fn shaped(case: &Case, [x, weight, bias]: [Tensor<1>; 3]) -> (Tensor<4>, Tensor<4>, Tensor<1>) {
        let ([batch, inputs, outputs], [height, width], kernel) = (case.sizes, case.input, case.kernel);
        let x = x.reshape([batch, inputs, height, width]);
        (x, weight.reshape([outputs, inputs, kernel[0], kernel[1]]), bias)
    }

    fn ours(level: Level, case: &Case, tensors: [Tensor<1>; 3]) -> Tensor<1> {
        let (x, weight, bias) = shaped(case, tensors);
        let tensors = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
        run::<_, 3, 4>(Kernel { level, geometry: geometry(case) }, tensors)
    }

    fn plain(case: &Case, tensors: [Tensor<1>; 3]) -> Tensor<1> {
        let (x, weight, bias) = shaped(case, tensors);
        if case.sizes[0] == 0 {
            return x.reshape([0]);
        }
        // Burn's own operator pads alike on both sides only, so zeros are put around the input.
        let (before, after) = (case.padding.map(|(b, _)| b), case.padding.map(|(_, a)| a));
        let x = Tensor::cat(vec![zeros(&x, 2, before[0]), x.clone(), zeros(&x, 2, after[0])], 2);
        let x = Tensor::cat(vec![zeros(&x, 3, before[1]), x.clone(), zeros(&x, 3, after[1])], 3);
        let options = ConvOptions::new(case.stride, [0, 0], [1, 1], 1);
        module::conv2d(x, weight, Some(bias), options).flatten(0, 3)
    }

    fn tensors(case: &Case) -> [Vec<f32>; 3] {
        let ([batch, inputs, outputs], [height, width], kernel) = (case.sizes, case.input, case.kernel);
        [
            random("x", batch * inputs * height * width, 1.0),
            random("weight", outputs * inputs * kernel[0] * kernel[1], 1.0),
            random("bias", outputs, 1.0),
        ]
    }

    #[test]
    fn values_and_gradients_are_those_of_the_plain_operator() {
        for level in Level::available() {
            for case in CASES {
                let what = format!("{:?}, {level:?}", geometry(case));
                check(&what, tensors(case), 1e-5, |x| ours(level, case, x), |x| plain(case, x));
            }
        }
    }

    /// Where the processor multiplies pairs of bfloat16s, two channels at once, and elsewhere widened.
    #[test]
    fn bfloat16s_are_multiplied_as_they_are() {
        for level in Level::for_pairs().chain([Level::best()]) {
            for case in CASES.iter().filter(|case| case.sizes[1].is_multiple_of(2) || !level.takes_pairs()) {
                let what = format!("{:?}, {level:?}", geometry(case));
                check_bf16(&what, tensors(case), 1e-5, |x| ours(level, case, x), |x| plain(case, x));
            }
        }
    }

    /// Each way through a convolution has its cases, in each number type.
    #[test]
    fn some_cases_are_transformed_and_some_are_not() {
        for level in Level::available().into_iter().chain(Level::for_pairs()) {
            let transformed = |case: &&Case| {
                let geometry = geometry(case);
                let taps: Vec<[isize; 2]> = geometry.places().collect();
                Square::of(level, &geometry.windows::<f32>(&[], &taps), geometry.out_channels).is_some()
            };
            // Registers for matrices multiply faster than transforming saves.
            let expected = level.multiplications_at_once() <= 2;
            assert_eq!(CASES.iter().any(|case| transformed(&case)), expected, "{level:?}");
            assert!(CASES.iter().any(|case| !transformed(&case)), "{level:?}");
        }
        assert!(CASES.iter().any(|case| winograd_gradient::pays(&geometry(case))));
        assert!(CASES.iter().any(|case| !winograd_gradient::pays(&geometry(case))));
    }

    fn zeros(x: &Tensor<4>, axis: usize, len: usize) -> Tensor<4> {
        let mut shape = x.dims();
        shape[axis] = len;
        Tensor::zeros(shape, &x.device())
    }
}
