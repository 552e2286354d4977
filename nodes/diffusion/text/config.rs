//! `text_encoder/config.json`.

use serde::{Deserialize, Serialize};

use super::Padding;
use crate::error::Error;

/// The shape of a CLIP text encoder, under the names of `transformers`. Fields that do not change the numbers
/// (dropout, initialisation, projection) are not read; nor are `bos_token_id` and `pad_token_id`, which are wrong in
/// the published Stable Diffusion folders: the tokenizer knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipTextConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the hidden states: `context_dim` of the denoiser.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers; 23 for Stable Diffusion 2.x, whose folders leave out OpenCLIP's last one.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Longest prompt in tokens.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// Activation of the feed-forward layers.
    #[serde(default)]
    pub hidden_act: HiddenAct,
    /// Epsilon of the norms.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
    /// The token at which the pooled state is taken; 2 in old files, which then means the largest id.
    #[serde(default = "default_eos")]
    pub eos_token_id: u32,
}

/// Activations that CLIP text encoders have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x * sigmoid(1.702 x)`: OpenAI's CLIP, Stable Diffusion 1.x.
    #[default]
    QuickGelu,
    /// The exact one, by the error function: OpenCLIP, Stable Diffusion 2.x.
    Gelu,
}

impl ClipTextConfig {
    /// How prompts are padded where no tokenizer file says so: OpenCLIP's encoders with zeros, OpenAI's with the end
    /// token.
    pub fn padding(&self) -> Padding {
        match self.hidden_act {
            HiddenAct::QuickGelu => Padding::End,
            HiddenAct::Gelu => Padding::Zero,
        }
    }

    /// Whether this crate implements such an encoder.
    ///
    /// # Errors
    /// Says which field is at fault.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |message: String| Err(Error::Config(format!("text encoder: {message}")));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return fail(format!("`{name}` is 0"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (size, heads) = (self.hidden_size, self.num_attention_heads);
            return fail(format!("`hidden_size` {size} is not a multiple of `num_attention_heads` {heads}"));
        }
        if self.layer_norm_eps != default_epsilon() {
            return fail(format!("`layer_norm_eps` should be 1e-5, found {:e}", self.layer_norm_eps));
        }
        Ok(())
    }
}

fn default_positions() -> usize {
    77
}

fn default_epsilon() -> f64 {
    1e-5
}

fn default_eos() -> u32 {
    49_407
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(changed: &str, value: Value) -> Result<ClipTextConfig, String> {
        let mut config = json!({
            "architectures": ["CLIPTextModel"], "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2,
            "hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "layer_norm_eps": 1e-05,
            "max_position_embeddings": 77, "num_attention_heads": 16, "num_hidden_layers": 23, "pad_token_id": 1,
            "projection_dim": 512, "vocab_size": 49408
        });
        config[changed] = value;
        let config: ClipTextConfig = serde_json::from_value(config).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn published_configurations_are_read() {
        let sd21 = parse("dropout", json!(0)).unwrap();
        assert_eq!((sd21.num_hidden_layers, sd21.hidden_act, sd21.padding()), (23, HiddenAct::Gelu, Padding::Zero));
        let sd15 = parse("hidden_act", json!("quick_gelu")).unwrap();
        assert_eq!((sd15.hidden_act, sd15.padding()), (HiddenAct::QuickGelu, Padding::End));
    }

    #[test]
    fn others_are_refused() {
        let check = |field: &str, value: Value, expected: &str| {
            let message = parse(field, value).unwrap_err();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        };
        check("hidden_act", json!("relu"), "unknown variant `relu`, expected `quick_gelu` or `gelu`");
        check("hidden_size", json!(1025), "not a multiple of `num_attention_heads` 16");
        check("num_attention_heads", json!(0), "`num_attention_heads` is 0");
        check("vocab_size", json!(-1), "invalid value");
        check("layer_norm_eps", json!(1e-6), "`layer_norm_eps` should be 1e-5, found 1e-6");
    }
}
