//! Timesteps as vectors.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use dc_kernels::silu;

use crate::error::Error;
use crate::layers::linear;
use crate::weights::Weights;

/// cos, then sin, of `timestep * 10000^(-i/half)`, in float32 throughout: upstream computes so, and near timestep 999
/// float64 frequencies differ from it by 6e-5.
///
/// # Shapes
/// - timesteps: `[batch]`, 0 to 999, fractions allowed
/// - output: `[batch, d]`
pub fn sinusoid(timesteps: &[f32], d: usize, device: &Device) -> Tensor<2> {
    let half = d / 2;
    let log_period = -(10_000_f64.ln()) as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| (log_period * i as f32 / half as f32).exp()).collect();
    let mut values = Vec::with_capacity(timesteps.len() * d);
    for t in timesteps {
        values.extend(frequencies.iter().map(|f| (t * f).cos()));
        values.extend(frequencies.iter().map(|f| (t * f).sin()));
    }
    Tensor::from_data(TensorData::new(values, [timesteps.len(), 2 * half]), device)
}

/// Two linear layers on the [`sinusoid`].
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimeEmbedding {
    pub(crate) fn load(w: &Weights, d_input: usize, d: usize) -> Result<Self, Error> {
        Ok(Self {
            linear_1: linear(&w.at("linear_1"), d_input, d, true)?,
            linear_2: linear(&w.at("linear_2"), d, d, true)?,
        })
    }

    /// # Shapes
    /// - timesteps: `[batch]`
    /// - output: `[batch, time_embed_dim]`, in the number type of the weights
    pub fn forward(&self, timesteps: &[f32]) -> Tensor<2> {
        let weight = self.linear_1.weight.val();
        let embedded = sinusoid(timesteps, weight.dims()[0], &weight.device()).cast(weight.dtype());
        dc_kernels::linear(&self.linear_2, silu(dc_kernels::linear(&self.linear_1, embedded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fixture_values, values};

    /// Upstream's exponential is not correctly rounded and differs between machines, so a frequency may be one unit in
    /// the last place away, which counts `timestep` times (twice with the rounding of their product). Float64 frequencies are so in 182 of the 1920 values.
    #[test]
    fn sinusoids_follow_upstream() {
        let (_, timesteps) = fixture_values("temb/t");
        let (_, expected) = fixture_values("temb/flip");
        let actual = values(&sinusoid(&timesteps, 320, &Device::flex()));
        assert_eq!(actual.len(), expected.len());
        let mut away = 0;
        for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
            let t = timesteps[i / 320];
            assert!((a - e).abs() <= 1e-6 + t * f32::EPSILON, "timestep {t}, {}: {a}, expected {e}", i % 320);
            away += usize::from((a - e).abs() > 1e-6);
        }
        assert!(away <= 16, "{away} values are further away than rounding");
    }
}
