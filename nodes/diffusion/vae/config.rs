//! `vae/config.json`.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// By how many bytes for each pixel and channel of the outermost level the peak of decoding grew from 256x256 to 512x512
/// pixels with the autoencoder of Stable Diffusion 1.5 in float32 on the CPU.
const DECODE_BYTES: usize = 23;

/// The shape of an autoencoder, under the names of diffusers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Channels of a picture.
    pub in_channels: usize,
    /// Channels of a decoded picture.
    pub out_channels: usize,
    /// Channels of latents.
    pub latent_channels: usize,
    /// Width of each level, from the picture inwards; every level but the last halves height and width.
    pub block_out_channels: Vec<usize>,
    /// ResNet blocks in a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of the norms.
    pub norm_num_groups: usize,
    /// What latents are multiplied with to have a standard deviation near 1: 0.18215 for Stable Diffusion 1.x and 2.x.
    pub scaling_factor: f64,
    /// Activation.
    pub act_fn: String,
    /// Block types of the encoder.
    pub down_block_types: Vec<String>,
    /// Block types of the decoder.
    pub up_block_types: Vec<String>,
    /// Whether the innermost level has attention.
    pub mid_block_add_attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Subtracted from latents by other model families.
    pub shift_factor: Option<f64>,
    /// Per-channel means, in other model families.
    pub latents_mean: Option<Vec<f64>>,
    /// Per-channel standard deviations, in other model families.
    pub latents_std: Option<Vec<f64>>,
}

/// The autoencoder of Stable Diffusion 1.x and 2.x; older files leave out fields that came later.
impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            act_fn: "silu".into(),
            down_block_types: vec!["DownEncoderBlock2D".into(); 4],
            up_block_types: vec!["UpDecoderBlock2D".into(); 4],
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
        }
    }
}

impl VaeConfig {
    /// How many pixels a latent covers, along each axis: 8.
    pub fn downscale(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// About how much memory it takes to decode latents of this height and width in one piece, in bytes, weights left
    /// out: activations of the outermost level.
    pub fn decode_bytes(&self, [height, width]: [usize; 2]) -> u64 {
        (DECODE_BYTES * self.block_out_channels[0] * height * width * self.downscale().pow(2)) as u64
    }

    /// Width of the innermost level.
    pub(super) fn innermost(&self) -> usize {
        self.block_out_channels.last().copied().unwrap_or(0)
    }

    /// Whether this crate implements such an autoencoder.
    ///
    /// # Errors
    /// Says which field is at fault.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |message: String| Err(Error::Config(format!("autoencoder: {message}")));
        let sizes = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
            ("layers_per_block", self.layers_per_block),
            ("norm_num_groups", self.norm_num_groups),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return fail(format!("`{name}` is 0"));
        }
        let (levels, groups) = (self.block_out_channels.len(), self.norm_num_groups);
        if !(1..=8).contains(&levels) {
            return fail(format!("`block_out_channels` should name 1 to 8 levels, found {levels}"));
        }
        if let Some(width) = self.block_out_channels.iter().find(|w| **w == 0 || !w.is_multiple_of(groups)) {
            return fail(format!("`block_out_channels` {width} is not a multiple of `norm_num_groups` {groups}"));
        }
        if !self.scaling_factor.is_finite() || self.scaling_factor <= 0.0 {
            return fail(format!("`scaling_factor` should be above 0, found {}", self.scaling_factor));
        }
        if self.act_fn != "silu" {
            return fail(format!("`act_fn` should be \"silu\", found {:?}", self.act_fn));
        }
        for (name, types, known) in [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ] {
            if types.len() != levels || types.iter().any(|t| t != known) {
                return fail(format!("`{name}` should be {levels} times {known:?}, found {types:?}"));
            }
        }
        if self.shift_factor.is_some_and(|s| s != 0.0) || self.latents_mean.is_some() || self.latents_std.is_some() {
            return fail("`shift_factor`, `latents_mean` and `latents_std` belong to other model families".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(config: Value) -> Result<VaeConfig, String> {
        let config: VaeConfig = serde_json::from_value(config).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn memory_grows_with_the_picture() {
        let config = VaeConfig::default();
        // 574 MB more than a picture of 256x256 pixels were measured.
        let more = config.decode_bytes([64, 64]) - config.decode_bytes([32, 32]);
        assert_eq!(more / 1_000_000, 578);
    }

    #[test]
    fn old_files_leave_fields_out() {
        let old = json!({
            "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512], "down_block_types": vec!["DownEncoderBlock2D"; 4],
            "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
            "sample_size": 512, "up_block_types": vec!["UpDecoderBlock2D"; 4]
        });
        assert_eq!(parse(old).unwrap(), VaeConfig::default());
        assert_eq!(VaeConfig::default().downscale(), 8);
    }

    #[test]
    fn others_are_refused() {
        let check = |config: Value, expected: &str| {
            let message = parse(config).unwrap_err();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        };
        check(json!({ "act_fn": "relu" }), "`act_fn` should be \"silu\", found \"relu\"");
        check(json!({ "block_out_channels": [] }), "1 to 8 levels, found 0");
        check(json!({ "block_out_channels": [128, 256] }), "`down_block_types` should be 2 times");
        check(json!({ "block_out_channels": [128, 256, 500, 512] }), "500 is not a multiple of `norm_num_groups` 32");
        check(json!({ "norm_num_groups": 0 }), "`norm_num_groups` is 0");
        check(json!({ "scaling_factor": 0.0 }), "`scaling_factor` should be above 0");
        check(json!({ "up_block_types": vec!["AttnUpDecoderBlock2D"; 4] }), "`up_block_types`");
        check(json!({ "shift_factor": 0.1 }), "other model families");
    }
}
