//! Muon (Jordan et al. 2024): steps of matrices are momenta made orthogonal, so that no direction drowns in another.
//!
//! With the scale of Liu et al. 2025 ("Muon is scalable for LLM training", arXiv 2502.16982, equation 4) a step is as long
//! as AdamW's at the same learning rate. What is no hidden matrix (embeddings, first and last convolutions, norms, biases)
//! takes AdamW's step.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::parameters::Parameter;

/// How momenta are kept. The defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Muon {
    /// Of the mean of gradients.
    pub momentum: f32,
}

impl Default for Muon {
    fn default() -> Self {
        Self { momentum: 0.95 }
    }
}

/// Of the polynomial `aX + bXXᵀX + c(XXᵀ)²X`, which draws singular values to 1 (Jordan et al. 2024).
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;
/// Length of AdamW's steps in the mean, as a part of the learning rate (arXiv 2502.16982, section 2.2).
const ADAMW_LENGTH: f32 = 0.2;

impl Muon {
    /// Whether a parameter is a hidden matrix: a linear layer or a convolution inside the model.
    pub fn takes(parameter: &Parameter) -> bool {
        let outside = ["token_embedding", "position_embedding", "conv_in.", "conv_out."];
        parameter.shape.len() > 1 && !outside.iter().any(|part| parameter.name.contains(part))
    }

    /// The direction of a step times its length, from a gradient and the momentum, which is updated: to be taken away from
    /// the values, times the learning rate.
    ///
    /// # Shapes
    /// - `shape`: of the parameter, in which all axes but the first are one
    pub fn direction(&self, gradient: &[f32], momentum: &mut [f32], shape: &[usize]) -> Vec<f32> {
        let ahead = gradient.iter().zip(momentum).map(|(g, m)| {
            *m += (g - *m) * (1.0 - self.momentum);
            g + (*m - g) * self.momentum
        });
        let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
        let mut step = orthogonal(ahead.collect(), rows, columns);
        let scale = ADAMW_LENGTH * (rows.max(columns) as f32).sqrt();
        step.iter_mut().for_each(|v| *v *= scale);
        step
    }
}

/// The nearest matrix whose singular values are about 1 (0.7 to 1.2), by Newton and Schulz's iteration in float32.
///
/// # Shapes
/// - values, result: `[rows, columns]`
fn orthogonal(values: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    let norm = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32;
    let matrix = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), (&Device::flex(), DType::F32));
    let [a, b, c] = COEFFICIENTS;
    let wide = rows <= columns;
    let mut x = (if wide { matrix } else { matrix.transpose() }) / (norm + 1e-7);
    for _ in 0..ITERATIONS {
        let square = x.clone().matmul(x.clone().transpose());
        let polynomial = square.clone() * b + square.clone().matmul(square) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    let data = (if wide { x } else { x.transpose() }).into_data();
    data.try_to_vec().unwrap_or_else(|_| vec![f32::NAN; rows * columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const GOLDEN_WIDE: &[f32] = &[0.422736, 0.462024, 0.076530, -0.379326, -0.480370, -0.139272, 0.329871, 0.495733, 0.205246, -0.279955, -0.507767, -0.268740];
    #[rustfmt::skip]
    const GOLDEN_STEP: &[f32] = &[0.320404, -0.145422, -0.178692, 0.013542, -0.078144, -0.193741, 0.227033, 0.019956, -0.168881, -0.085583, 0.011740, -0.273703];

    /// `numpy`, float64: `orthogonal` of `sin(1 + i)` as 3x4, and the step after two gradients `cos(i)`, `cos(2 i)`.
    #[test]
    fn steps_are_those_of_another_implementation() {
        let check = |found: &[f32], expected: &[f32]| {
            let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == expected.len() && far < 1e-4, "{far}: {found:?}");
        };
        let sines: Vec<f32> = (0..12).map(|i| (1.0 + i as f32).sin()).collect();
        check(&orthogonal(sines.clone(), 3, 4), GOLDEN_WIDE);
        let transposed: Vec<f32> = (0..12).map(|i| sines[(i % 3) * 4 + i / 3]).collect();
        let back = orthogonal(transposed, 4, 3);
        let back: Vec<f32> = (0..12).map(|i| back[(i % 4) * 3 + i / 4]).collect();
        check(&back, GOLDEN_WIDE);
        let mut momentum = vec![0.0; 12];
        let gradient = |k: f32| (0..12).map(|i| (k * i as f32).cos()).collect::<Vec<_>>();
        Muon::default().direction(&gradient(1.0), &mut momentum, &[3, 2, 2]);
        check(&Muon::default().direction(&gradient(2.0), &mut momentum, &[3, 2, 2]), GOLDEN_STEP);
    }
}
