//! Weights to start a training from: PyTorch's for its layers, with residual branches that begin at zero.

use burn::tensor::TensorData;

use crate::error::Error;
use crate::weights::{TensorSource, uniform};

/// Seeded weights by the kind of tensor, which its name and shape tell.
///
/// | tensor | values |
/// | --- | --- |
/// | matrices and kernels | uniform within `1 / sqrt(fan_in)`, PyTorch's default (He et al. 2015 with a = sqrt 5) |
/// | the last layer of a residual branch, and of a denoiser | 0: each branch begins as the identity (Goyal et al. 2017) |
/// | token and position embeddings | uniform with a standard deviation of 0.02 |
/// | norms | 1 |
/// | biases | 0 |
#[derive(Clone, Debug)]
pub struct Initial {
    seed: u64,
    zero: &'static [&'static str],
}

impl Initial {
    /// For an autoencoder.
    pub fn autoencoder(seed: u64) -> Self {
        Self { seed, zero: &["conv2.weight", "to_out.0.weight"] }
    }

    /// For adapters: nothing is zero but the biases.
    pub fn adapters(seed: u64) -> Self {
        Self { seed, zero: &[] }
    }

    /// For a classifier.
    pub fn classifier(seed: u64) -> Self {
        Self { seed, zero: &[] }
    }

    /// For a text encoder or a denoiser.
    pub fn denoiser(seed: u64) -> Self {
        Self { seed, zero: &["conv2.weight", "proj_out.weight", "unet.conv_out.weight"] }
    }
}

impl TensorSource for Initial {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let len = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let amplitude = if self.zero.iter().any(|end| name.ends_with(end)) {
            0.0
        } else if name.ends_with("_embedding.weight") && !name.contains("time") {
            // Of a uniform distribution of the standard deviation 0.02.
            0.02 * 3.0_f32.sqrt()
        } else {
            1.0 / (fan_in as f32).sqrt()
        };
        let values = match shape.len() {
            1 if name.ends_with(".weight") => vec![1.0; len],
            1 => vec![0.0; len],
            _ => uniform(&format!("{} {name}", self.seed), len).map(|u| amplitude * u).collect(),
        };
        Ok(TensorData::new(values, shape.to_vec()))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn origin(&self) -> String {
        format!("initial weights of seed {}", self.seed)
    }
}
