//! The least that a part has to compute and to read, by its structure.

use std::ops::{Add, AddAssign, Mul};

use crate::dreamcache::CachePoint;
use crate::text::ClipTextConfig;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

/// Arithmetic and weights. Norms, activations and what is kept between layers are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiplications and additions.
    pub operations: f64,
    /// Weights that are read at least once.
    pub weights: f64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { operations: self.operations + other.operations, weights: self.weights + other.weights }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The same for so many rows of a batch, which read the weights together.
impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, rows: f64) -> Self {
        Self { operations: self.operations * rows, ..self }
    }
}

fn linear(d_input: usize, d_output: usize, rows: usize) -> Cost {
    let weights = (d_input * d_output) as f64;
    Cost { operations: 2.0 * weights * rows as f64, weights }
}

fn conv(kernel: usize, channels: usize, d_output: usize, positions: usize) -> Cost {
    linear(kernel * kernel * channels, d_output, positions)
}

/// Scores and the mix of values, of all heads together `d` wide.
fn attention(d: usize, tokens: usize, context: usize) -> Cost {
    Cost { operations: 4.0 * (d * tokens * context) as f64, weights: 0.0 }
}

/// One evaluation of the denoiser.
///
/// # Shapes
/// - size: height and width of the latents
pub fn unet(config: &UNetConfig, size: [usize; 2], context_tokens: usize) -> Cost {
    let widths = &config.block_out_channels;
    let (first, last) = (widths[0], config.levels() - 1);
    let time = config.time_embed_dim();
    let positions = |level: usize| size.map(|size| size.div_ceil(1 << level)).iter().product::<usize>();
    let resnet = |d_input: usize, d: usize, n: usize| {
        let shortcut = if d_input == d { Cost::default() } else { conv(1, d_input, d, n) };
        conv(3, d_input, d, n) + conv(3, d, d, n) + shortcut + linear(time, d, 1)
    };
    let transformer = |level: usize| {
        let (d, n) = (widths[level], positions(level));
        let own = linear(d, 3 * d, n) + linear(d, d, n) + attention(d, n, n);
        let keys = linear(config.cross_attention_dim, 2 * d, context_tokens);
        let text = linear(d, 2 * d, n) + keys + attention(d, n, context_tokens);
        let block = own + text + linear(d, 8 * d, n) + linear(4 * d, d, n);
        let mut all = linear(d, d, n) + linear(d, d, n);
        (0..config.transformer_layers_per_block[level]).for_each(|_| all += block);
        all
    };
    let mut all = conv(3, config.in_channels, first, positions(0)) + linear(first, time, 1) + linear(time, time, 1);
    for (level, &d) in widths.iter().enumerate() {
        for j in 0..config.layers_per_block {
            let d_input = if j == 0 { widths[level.saturating_sub(1)] } else { d };
            all += resnet(d_input, d, positions(level));
            if config.down_has_attention(level) {
                all += transformer(level);
            }
        }
        if level < last {
            all += conv(3, d, d, positions(level + 1));
        }
    }
    let d = widths[last];
    all += resnet(d, d, positions(last)) + transformer(last) + resnet(d, d, positions(last));
    for index in 0..=last {
        let level = last - index;
        for (hidden, skip) in config.up_inputs(index) {
            all += resnet(hidden + skip, widths[level], positions(level));
            if config.up_has_attention(index) {
                all += transformer(level);
            }
        }
        if level > 0 {
            all += conv(3, widths[level], widths[level], positions(level - 1));
        }
    }
    all + conv(3, first, config.out_channels, positions(0))
}

/// What adapters with a projection add to an evaluation, keys and values projected and outputs folded.
///
/// # Shapes
/// - size, reference: height and width of the latents of the image and of the reference
pub fn adapters(points: &[CachePoint], size: [usize; 2], reference: [usize; 2]) -> Cost {
    points.iter().fold(Cost::default(), |all, point| {
        let tokens = |size| point.size(size).iter().product::<usize>();
        let n = tokens(size);
        // Queries, and the half of the folded layer that the block's own output projection is not.
        all + linear(point.d, 2 * point.d, n) + attention(point.d, n, tokens(reference))
    })
}

/// The autoencoder's encoder and decoder.
///
/// # Shapes
/// - size: height and width of the latents
pub fn vae(config: &VaeConfig, size: [usize; 2]) -> [Cost; 2] {
    let widths = &config.block_out_channels;
    let last = widths.len().saturating_sub(1);
    let positions = |level: usize| size.iter().map(|size| size << (last - level)).product::<usize>();
    let resnet = |d_input: usize, d: usize, n: usize| {
        let shortcut = if d_input == d { Cost::default() } else { conv(1, d_input, d, n) };
        conv(3, d_input, d, n) + conv(3, d, d, n) + shortcut
    };
    let (d, n, latent) = (widths[last], positions(last), config.latent_channels);
    let mut middle = resnet(d, d, n) + resnet(d, d, n);
    if config.mid_block_add_attention {
        middle += linear(d, 4 * d, n) + attention(d, n, n);
    }
    let mut encoder = conv(3, config.in_channels, widths[0], positions(0)) + middle + conv(3, d, 2 * latent, n);
    let mut decoder = conv(3, latent, d, n) + middle + conv(3, widths[0], config.out_channels, positions(0));
    let mut before = d;
    for level in 0..=last {
        let own = widths[level];
        for j in 0..config.layers_per_block {
            let d_input = if j == 0 { widths[level.saturating_sub(1)] } else { own };
            encoder += resnet(d_input, own, positions(level));
        }
        if level < last {
            encoder += conv(3, own, own, positions(level + 1));
        }
        // The decoder comes to the levels the other way round.
        let level = last - level;
        let own = widths[level];
        for j in 0..=config.layers_per_block {
            decoder += resnet(if j == 0 { before } else { own }, own, positions(level));
        }
        if level > 0 {
            decoder += conv(3, own, own, positions(level - 1));
        }
        before = own;
    }
    [encoder, decoder]
}

/// The text encoder, for one prompt.
pub fn text(config: &ClipTextConfig) -> Cost {
    let (d, n) = (config.hidden_size, config.max_position_embeddings);
    let layer = linear(d, 4 * d, n) + attention(d, n, n) + linear(d, 2 * config.intermediate_size, n);
    (0..config.num_hidden_layers).fold(Cost::default(), |all, _| all + layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dreamcache::Placement;

    /// GFLOP that are known of Stable Diffusion 1.5 at 512 x 512: denoiser 803, encoder 1117, decoder 2515, text 13;
    /// the adapters add 4.27 %.
    #[test]
    fn costs_are_those_of_stable_diffusion() {
        let check = |what: &str, found: Cost, expected: f64, tolerance: f64| {
            let found = found.operations / 1e9;
            assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
        };
        let config = UNetConfig::sd15();
        let plain = unet(&config, [64, 64], 77);
        check("denoiser", plain, 803.0, 2.0);
        assert!((plain.weights - 859.5e6).abs() < 1e6, "{} weights", plain.weights);
        let added = adapters(&Placement::default().points(&config), [64, 64], [64, 64]);
        check(
            "adapters in percent",
            Cost { operations: added.operations / plain.operations * 1e11, ..added },
            4.27,
            0.05,
        );
        let [encoder, decoder] = vae(&VaeConfig::default(), [64, 64]);
        check("encoder", encoder, 1117.0, 5.0);
        check("decoder", decoder, 2515.0, 8.0);
        let clip = ClipTextConfig {
            vocab_size: 49_408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: crate::text::HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49_407,
        };
        check("text", text(&clip), 13.0, 1.0);
    }
}
