//! The structure of a UNet, deserialised from diffusers' `unet/config.json`.
//!
//! What is not implemented is an error, never ignored: every key of the file is either read or must have the value
//! that switches the feature off.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// By how many bytes for each latent and channel of the outermost level the peak of Stable Diffusion 1.5 at 64x64 latents
/// grew with each row of a batch on the CPU: 82 in bfloat16, 64 in float32, where other things make the peak of few rows.
const ACTIVATION_BYTES: usize = 82;

/// An encoder level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum DownBlockType {
    CrossAttnDownBlock2D,
    DownBlock2D,
}

/// A decoder level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum UpBlockType {
    CrossAttnUpBlock2D,
    UpBlock2D,
}

/// Upstream's field names. Lists have one entry per level, outermost first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File")]
pub struct UNetConfig {
    /// Native height and width of the latents.
    pub sample_size: usize,
    /// Channels of the latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Encoder levels.
    pub down_block_types: Vec<DownBlockType>,
    /// Decoder levels, innermost first.
    pub up_block_types: Vec<UpBlockType>,
    /// Width of each level.
    pub block_out_channels: Vec<usize>,
    /// ResNets a level in the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Transformer blocks in each attention layer.
    pub transformer_layers_per_block: Vec<usize>,
    /// Width of the text context.
    pub cross_attention_dim: usize,
    /// Despite its name the *number of heads* (a naming slip that upstream keeps for compatibility).
    pub attention_head_dim: Vec<usize>,
    /// Whether the spatial transformers' projections are stored as linear layers (2.x) or 1x1 convolutions (1.x).
    pub use_linear_projection: bool,
    /// Whether attention must run in float32 whatever the model's number type (2.1 overflows in float16).
    pub upcast_attention: bool,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Epsilon of the ResNets' group norms. (The transformers' is 1e-6, their layer norms' 1e-5.)
    pub norm_eps: f64,
}

/// Keys that switch on what this crate does not implement, and the value that switches it off. `null` does, too.
fn neutral_values() -> [(&'static str, Value); 23] {
    [
        ("act_fn", json!("silu")),
        ("addition_embed_type_num_heads", json!(64)),
        ("attention_type", json!("default")),
        ("center_input_sample", json!(false)),
        ("class_embeddings_concat", json!(false)),
        ("conv_in_kernel", json!(3)),
        ("conv_out_kernel", json!(3)),
        ("downsample_padding", json!(1)),
        ("downsample_type", json!("conv")),
        ("dropout", json!(0.0)),
        ("dual_cross_attention", json!(false)),
        ("flip_sin_to_cos", json!(true)),
        ("freq_shift", json!(0)),
        ("mid_block_only_cross_attention", json!(false)),
        ("mid_block_scale_factor", json!(1)),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("only_cross_attention", json!(false)),
        ("resnet_out_scale_factor", json!(1.0)),
        ("resnet_skip_time_act", json!(false)),
        ("resnet_time_scale_shift", json!("default")),
        ("time_embedding_type", json!("positional")),
        ("upsample_type", json!("conv")),
        ("use_safetensors", json!(true)),
    ]
}

/// The file as written: scalars where all levels agree, and upstream's defaults.
#[derive(Deserialize)]
struct File {
    sample_size: Option<usize>,
    #[serde(default = "four")]
    in_channels: usize,
    #[serde(default = "four")]
    out_channels: usize,
    down_block_types: Vec<DownBlockType>,
    up_block_types: Vec<UpBlockType>,
    block_out_channels: Vec<usize>,
    #[serde(default = "two")]
    layers_per_block: usize,
    #[serde(default)]
    transformer_layers_per_block: Option<OneOrEach>,
    cross_attention_dim: usize,
    attention_head_dim: OneOrEach,
    #[serde(default)]
    num_attention_heads: Option<OneOrEach>,
    #[serde(default)]
    use_linear_projection: bool,
    #[serde(default)]
    upcast_attention: Option<bool>,
    #[serde(default = "thirty_two")]
    norm_num_groups: usize,
    #[serde(default = "norm_eps")]
    norm_eps: f64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrEach {
    One(usize),
    Each(Vec<usize>),
}

impl OneOrEach {
    fn per_level(self, levels: usize) -> Vec<usize> {
        match self {
            Self::One(n) => vec![n; levels],
            Self::Each(all) => all,
        }
    }
}

fn two() -> usize {
    2
}
fn four() -> usize {
    4
}
fn thirty_two() -> usize {
    32
}
fn norm_eps() -> f64 {
    1e-5
}

impl TryFrom<File> for UNetConfig {
    type Error = Error;

    fn try_from(file: File) -> Result<Self, Error> {
        let neutral = neutral_values();
        for (key, value) in &file.rest {
            let off = match neutral.iter().find(|(name, _)| name == key) {
                Some((_, off)) => value == off || value.as_f64().is_some_and(|v| off.as_f64() == Some(v)),
                None => *value == Value::Bool(false) || key.starts_with('_'),
            };
            if !off && !value.is_null() {
                return Err(Error::Config(format!("the UNet feature `{key}: {value}` is not supported")));
            }
        }
        let levels = file.block_out_channels.len();
        let config = Self {
            sample_size: file.sample_size.unwrap_or(64),
            in_channels: file.in_channels,
            out_channels: file.out_channels,
            layers_per_block: file.layers_per_block,
            transformer_layers_per_block: file
                .transformer_layers_per_block
                .map_or_else(|| vec![1; levels], |n| n.per_level(levels)),
            cross_attention_dim: file.cross_attention_dim,
            attention_head_dim: file.num_attention_heads.unwrap_or(file.attention_head_dim).per_level(levels),
            down_block_types: file.down_block_types,
            up_block_types: file.up_block_types,
            block_out_channels: file.block_out_channels,
            use_linear_projection: file.use_linear_projection,
            upcast_attention: file.upcast_attention.unwrap_or(false),
            norm_num_groups: file.norm_num_groups,
            norm_eps: file.norm_eps,
        };
        config.check()?;
        Ok(config)
    }
}

impl UNetConfig {
    /// Stable Diffusion 1.x: 859,520,964 parameters.
    pub fn sd15() -> Self {
        Self {
            sample_size: 64,
            in_channels: 4,
            out_channels: 4,
            down_block_types: [vec![DownBlockType::CrossAttnDownBlock2D; 3], vec![DownBlockType::DownBlock2D]].concat(),
            up_block_types: [vec![UpBlockType::UpBlock2D], vec![UpBlockType::CrossAttnUpBlock2D; 3]].concat(),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: 2,
            transformer_layers_per_block: vec![1; 4],
            cross_attention_dim: 768,
            attention_head_dim: vec![8; 4],
            use_linear_projection: false,
            upcast_attention: false,
            norm_num_groups: 32,
            norm_eps: 1e-5,
        }
    }

    /// Stable Diffusion 2.x: 865,910,724 parameters.
    pub fn sd21() -> Self {
        Self {
            cross_attention_dim: 1024,
            attention_head_dim: vec![5, 10, 20, 20],
            use_linear_projection: true,
            ..Self::sd15()
        }
    }

    /// [`Self::sd15`] at a few thousandths of the size, for tests and demonstrations.
    pub fn sd15_tiny() -> Self {
        Self { block_out_channels: vec![32, 64, 64, 64], cross_attention_dim: 32, ..Self::sd15() }
    }

    /// [`Self::sd21`] at a few thousandths of the size, for tests and demonstrations.
    pub fn sd21_tiny() -> Self {
        Self {
            block_out_channels: vec![32, 64, 64, 64],
            cross_attention_dim: 48,
            attention_head_dim: vec![2, 4, 4, 4],
            ..Self::sd21()
        }
    }

    /// A small denoiser with these widths, outermost first: attention on every level, one layer each.
    pub fn small(widths: &[usize], channels: usize, sample_size: usize, cross_attention_dim: usize) -> Self {
        let levels = widths.len();
        Self {
            sample_size,
            in_channels: channels,
            out_channels: channels,
            down_block_types: vec![DownBlockType::CrossAttnDownBlock2D; levels],
            up_block_types: vec![UpBlockType::CrossAttnUpBlock2D; levels],
            block_out_channels: widths.to_vec(),
            layers_per_block: 1,
            transformer_layers_per_block: vec![1; levels],
            cross_attention_dim,
            attention_head_dim: vec![4; levels],
            norm_num_groups: 16,
            ..Self::sd15()
        }
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When it is not one, contradicts itself, or asks for what is not implemented.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|e| Error::Config(format!("UNet configuration: {e}")))
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the timestep embedding, four times the outermost level's (as upstream).
    pub fn time_embed_dim(&self) -> usize {
        4 * self.block_out_channels[0]
    }

    /// Whether the encoder level has attention.
    pub fn down_has_attention(&self, level: usize) -> bool {
        self.down_block_types[level] == DownBlockType::CrossAttnDownBlock2D
    }

    /// Whether the decoder's `index`-th block, innermost first, has attention.
    pub fn up_has_attention(&self, index: usize) -> bool {
        self.up_block_types[index] == UpBlockType::CrossAttnUpBlock2D
    }

    /// Channels that each ResNet of the decoder's `index`-th block takes in: hidden states and skip.
    pub fn up_inputs(&self, index: usize) -> Vec<(usize, usize)> {
        let widths = &self.block_out_channels;
        let level = self.levels() - 1 - index;
        let (own, before) = (widths[level], widths[(level + 1).min(self.levels() - 1)]);
        let last_skip = widths[level.saturating_sub(1)];
        (0..=self.layers_per_block)
            .map(|j| (if j == 0 { before } else { own }, if j == self.layers_per_block { last_skip } else { own }))
            .collect()
    }

    /// About how much memory an evaluation takes for each row of a batch of latents of this height and width, in bytes,
    /// weights left out. Most of it are skips and activations of the outermost level; the number type matters little.
    pub fn activation_bytes(&self, [height, width]: [usize; 2]) -> u64 {
        (ACTIVATION_BYTES * self.block_out_channels[0] * height * width) as u64
    }

    /// Number of parameters.
    pub fn num_params(&self) -> usize {
        let linear = |i: usize, o: usize| i * o + o;
        let conv = |i: usize, o: usize| 9 * i * o + o;
        let norm = |d: usize| 2 * d;
        let time = self.time_embed_dim();
        let resnet = |i: usize, o: usize| {
            let shortcut = if i == o { 0 } else { linear(i, o) };
            norm(i) + conv(i, o) + linear(time, o) + norm(o) + conv(o, o) + shortcut
        };
        let attention = |d: usize, context: usize| d * d + 2 * context * d + linear(d, d);
        let transformer = |level: usize| {
            let d = self.block_out_channels[level];
            let feed_forward = linear(d, 8 * d) + linear(4 * d, d);
            let block = 3 * norm(d) + attention(d, d) + attention(d, self.cross_attention_dim) + feed_forward;
            norm(d) + 2 * linear(d, d) + self.transformer_layers_per_block[level] * block
        };

        let widths = &self.block_out_channels;
        let last = self.levels() - 1;
        let (first, deepest) = (widths[0], widths[last]);
        let mut n = linear(first, time) + linear(time, time) + conv(self.in_channels, first);
        for (level, &d) in widths.iter().enumerate() {
            let d_input = widths[level.saturating_sub(1)];
            n += resnet(d_input, d) + (self.layers_per_block - 1) * resnet(d, d);
            n += if self.down_has_attention(level) { self.layers_per_block * transformer(level) } else { 0 };
            n += if level < last { conv(d, d) } else { 0 };
        }
        n += 2 * resnet(deepest, deepest) + transformer(last);
        for index in 0..=last {
            let d = widths[last - index];
            n += self.up_inputs(index).iter().map(|(hidden, skip)| resnet(hidden + skip, d)).sum::<usize>();
            n += if self.up_has_attention(index) { (self.layers_per_block + 1) * transformer(last - index) } else { 0 };
            n += if index < last { conv(d, d) } else { 0 };
        }
        n + norm(first) + conv(first, self.out_channels)
    }

    /// Whether this crate implements such a denoiser.
    ///
    /// # Errors
    /// Says which field is at fault.
    pub fn check(&self) -> Result<(), Error> {
        let error = |message: String| Err(Error::Config(format!("UNet configuration: {message}")));
        let levels = self.levels();
        for (name, len) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
            ("attention_head_dim", self.attention_head_dim.len()),
            ("transformer_layers_per_block", self.transformer_layers_per_block.len()),
        ] {
            if len != levels {
                return error(format!("`{name}` has {len} entries, `block_out_channels` {levels}"));
            }
        }
        // Far above any real model, and low enough that no product of them overflows.
        const LARGEST: usize = 1 << 16;
        let numbers = [
            ("block_out_channels", self.block_out_channels.as_slice()),
            ("attention_head_dim", &self.attention_head_dim),
            ("transformer_layers_per_block", &self.transformer_layers_per_block),
            ("layers_per_block", &[self.layers_per_block]),
            ("cross_attention_dim", &[self.cross_attention_dim]),
            ("norm_num_groups", &[self.norm_num_groups]),
            ("in_channels", &[self.in_channels]),
            ("out_channels", &[self.out_channels]),
        ];
        for (name, values) in numbers {
            if values.is_empty() || values.iter().any(|n| !(1..=LARGEST).contains(n)) {
                return error(format!("`{name}` should be 1 to {LARGEST}, found {values:?}"));
            }
        }
        for (&d, &heads) in self.block_out_channels.iter().zip(&self.attention_head_dim) {
            if d % heads != 0 || d % self.norm_num_groups != 0 || d % 2 != 0 {
                let groups = self.norm_num_groups;
                return error(format!("the width {d} does not divide by {heads} heads and {groups} groups"));
            }
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return error(format!("`norm_eps` should be between 0 and 1, found {}", self.norm_eps));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_the_picture() {
        let config = UNetConfig::sd15();
        // 430 MB more for two pictures more, with guidance, were measured.
        assert_eq!(config.activation_bytes([64, 64]) / 1_000_000, 107);
        assert_eq!(config.activation_bytes([128, 64]), 2 * config.activation_bytes([64, 64]));
    }

    #[test]
    fn parameters_are_counted() {
        for (name, config, expected) in [
            // Upstream's `num_parameters()` of the published models.
            ("sd15", UNetConfig::sd15(), 859_520_964),
            ("sd21", UNetConfig::sd21(), 865_910_724),
        ] {
            assert_eq!(config.num_params(), expected, "{name}");
        }
    }

    #[test]
    fn files_are_read_or_refused() {
        let sd15 = json!({
            "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
            "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": false,
            "cross_attention_dim": 768, "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
            "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
            "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-5,
            "norm_num_groups": 32, "out_channels": 4, "sample_size": 64
        });
        let check = |changes: Value, expected: Result<UNetConfig, &str>| {
            let mut file = sd15.clone();
            let map = file.as_object_mut().expect("an object");
            map.extend(changes.as_object().expect("an object").clone());
            match (UNetConfig::from_json(&file.to_string()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{changes}"),
                (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{changes}: `{e}` without `{part}`"),
                (found, _) => panic!("{changes}: {found:?}"),
            }
        };
        check(json!({}), Ok(UNetConfig::sd15()));
        let sd21 = json!({
            "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": true,
            "dual_cross_attention": false, "num_class_embeds": null, "only_cross_attention": false,
            "addition_embed_type": null, "transformer_layers_per_block": 1, "dropout": 0, "a_later_switch": false
        });
        check(sd21, Ok(UNetConfig::sd21()));
        check(json!({"upcast_attention": true}), Ok(UNetConfig { upcast_attention: true, ..UNetConfig::sd15() }));
        check(json!({"norm_num_groups": 7}), Err("does not divide"));
        check(json!({"attention_head_dim": 7}), Err("does not divide"));
        check(json!({"attention_head_dim": [8, 8]}), Err("`attention_head_dim` has 2 entries"));
        check(json!({"block_out_channels": []}), Err("entries"));
        check(json!({"attention_head_dim": 0}), Err("1 to 65536"));
        check(json!({"block_out_channels": [4_000_000_000_u64, 64, 64, 64]}), Err("1 to 65536"));
        check(json!({"layers_per_block": -1}), Err("expected usize"));
        check(json!({"norm_eps": 0.0}), Err("norm_eps"));
        check(json!({"down_block_types": ["AttnDownBlock2D"]}), Err("AttnDownBlock2D"));
        for (key, value) in [
            ("act_fn", json!("gelu")),
            ("class_embed_type", json!("timestep")),
            ("addition_embed_type", json!("text_time")),
            ("num_class_embeds", json!(1000)),
            ("dual_cross_attention", json!(true)),
            ("flip_sin_to_cos", json!(false)),
            ("freq_shift", json!(1)),
            ("resnet_time_scale_shift", json!("scale_shift")),
            ("something_new", json!("on")),
        ] {
            check(json!({key: value}), Err(&format!("`{key}: {value}` is not supported")));
        }
    }

    #[test]
    fn writing_and_reading_is_identity() {
        for config in [UNetConfig::sd15(), UNetConfig::sd21(), UNetConfig::sd15_tiny(), UNetConfig::sd21_tiny()] {
            let text = serde_json::to_string(&config).expect("serialisable");
            assert_eq!(UNetConfig::from_json(&text).expect("its own form"), config);
        }
    }
}
