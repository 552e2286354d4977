//! Cache points: the attention layers whose inputs are cached and where adapters sit.
//!
//! Number the attention layers encoder, middle, decoder from 0. The paper caches the middle and every second layer of
//! the decoder, the even-numbered ones; its Table 5 also tries the encoder, and Table S2 the middle alone. Any other
//! choice is told layer by layer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::unet::UNetConfig;

/// As many as [`Placement`] has bits for; Stable Diffusion has 16.
const MAX_LAYERS: usize = 64;

/// Which parts of the denoiser are cached: `middle+decoder`, the default, or, layer by layer, `0+1+6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placement {
    /// The even-numbered layers of the encoder.
    pub encoder: bool,
    /// The middle layer.
    pub middle: bool,
    /// The even-numbered layers of the decoder.
    pub decoder: bool,
    /// Single layers beside these, whatever part they belong to: bit n is layer n.
    single: u64,
}

impl Default for Placement {
    fn default() -> Self {
        Self { middle: true, decoder: true, ..Self::NOWHERE }
    }
}

/// An attention layer that is cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePoint {
    /// Its number: encoder, middle, decoder from 0.
    pub layer: usize,
    /// diffusers' name: `up_blocks.1.attentions.1`.
    pub name: String,
    /// CompVis's name: `output_blocks.4.1`.
    pub ldm_name: String,
    /// Width of its features.
    pub d: usize,
    /// Number of heads.
    pub num_heads: usize,
    /// How often height and width of the latents are halved there.
    pub level: usize,
}

impl CachePoint {
    /// Height and width of the feature map, from those of the latents.
    pub fn size(&self, latent_size: [usize; 2]) -> [usize; 2] {
        latent_size.map(|n| (0..self.level).fold(n, |n, _| n.div_ceil(2)))
    }
}

impl Placement {
    const NOWHERE: Self = Self { encoder: false, middle: false, decoder: false, single: 0 };

    /// The cache points of a denoiser, in the order in which it comes to them. Layers that it does not have are left out:
    /// see [`Self::check`].
    pub fn points(&self, unet: &UNetConfig) -> Vec<CachePoint> {
        let last = unet.levels() - 1;
        let per_level = unet.layers_per_block;
        let mut places = Vec::new();
        for level in (0..=last).filter(|&level| unet.down_has_attention(level)) {
            for j in 0..per_level {
                let ldm = format!("input_blocks.{}.1", 1 + level * (per_level + 1) + j);
                places.push((self.encoder, false, format!("down_blocks.{level}.attentions.{j}"), ldm, level));
            }
        }
        places.push((self.middle, true, "mid_block.attentions.0".into(), "middle_block.1".into(), last));
        for index in (0..=last).filter(|&index| unet.up_has_attention(index)) {
            for j in 0..=per_level {
                let ldm = format!("output_blocks.{}.1", index * (per_level + 1) + j);
                places.push((self.decoder, false, format!("up_blocks.{index}.attentions.{j}"), ldm, last - index));
            }
        }
        let cached = |layer: usize, chosen: bool, middle: bool| {
            chosen && (middle || layer.is_multiple_of(2)) || self.single().any(|single| single == layer)
        };
        (places.into_iter().enumerate())
            .filter(|(layer, (chosen, middle, ..))| cached(*layer, *chosen, *middle))
            .map(|(layer, (_, _, name, ldm_name, level))| CachePoint {
                layer,
                name,
                ldm_name,
                d: unet.block_out_channels[level],
                num_heads: unet.attention_head_dim[level],
                level,
            })
            .collect()
    }

    /// Whether a denoiser has every layer that is named by its number.
    ///
    /// # Errors
    /// When it has not; the message says how many there are.
    pub fn check(&self, unet: &UNetConfig) -> Result<(), Error> {
        let levels = 0..unet.levels();
        let down = levels.clone().filter(|&level| unet.down_has_attention(level)).count() * unet.layers_per_block;
        let up = levels.filter(|&index| unet.up_has_attention(index)).count() * (unet.layers_per_block + 1);
        let count = down + 1 + up;
        match self.single().find(|layer| *layer >= count) {
            Some(layer) => Err(Error::Argument(format!(
                "the placement `{self}` names layer {layer}; this denoiser's attention layers are 0 to {}",
                count - 1
            ))),
            None => Ok(()),
        }
    }

    fn single(&self) -> impl Iterator<Item = usize> {
        let layers = self.single;
        (0..MAX_LAYERS).filter(move |layer| layers >> layer & 1 == 1)
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("encoder", self.encoder), ("middle", self.middle), ("decoder", self.decoder)];
        let named = named.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_string());
        let parts: Vec<_> = named.chain(self.single().map(|layer| layer.to_string())).collect();
        f.write_str(&parts.join("+"))
    }
}

impl FromStr for Placement {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut placement = Self::NOWHERE;
        for part in text.split('+').map(str::trim) {
            match (part, part.parse::<usize>()) {
                ("encoder", _) => placement.encoder = true,
                ("middle", _) => placement.middle = true,
                ("decoder", _) => placement.decoder = true,
                (_, Ok(layer)) if layer < MAX_LAYERS => placement.single |= 1 << layer,
                _ => {
                    let known = "`encoder`, `middle`, `decoder` and numbers of attention layers, joined by `+`";
                    return Err(Error::Argument(format!("a placement is made of {known}; found `{part}`")));
                }
            }
        }
        Ok(placement)
    }
}

impl TryFrom<String> for Placement {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unet::config::{DownBlockType, UpBlockType};

    fn check(placement: &str, unet: &UNetConfig, expected: &[(&str, &str, usize, usize)]) {
        let points = placement.parse::<Placement>().expect(placement).points(unet);
        let found: Vec<_> =
            points.iter().map(|p| (p.name.as_str(), p.ldm_name.as_str(), p.d, p.size([64, 64])[0].pow(2))).collect();
        assert_eq!(found, expected, "{placement}");
    }

    #[test]
    fn points_follow_from_the_structure() {
        let middle = ("mid_block.attentions.0", "middle_block.1", 1280, 64);
        // Names, widths and tokens of method and paper.
        let decoder = [
            ("up_blocks.1.attentions.1", "output_blocks.4.1", 1280, 256),
            ("up_blocks.2.attentions.0", "output_blocks.6.1", 640, 1024),
            ("up_blocks.2.attentions.2", "output_blocks.8.1", 640, 1024),
            ("up_blocks.3.attentions.1", "output_blocks.10.1", 320, 4096),
        ];
        let encoder = [
            ("down_blocks.0.attentions.0", "input_blocks.1.1", 320, 4096),
            ("down_blocks.1.attentions.0", "input_blocks.4.1", 640, 1024),
            ("down_blocks.2.attentions.0", "input_blocks.7.1", 1280, 256),
        ];
        for unet in [UNetConfig::sd15(), UNetConfig::sd21()] {
            check("middle+decoder", &unet, &[&[middle][..], &decoder].concat());
            check("encoder+middle+decoder", &unet, &[&encoder[..], &[middle], &decoder].concat());
            check("encoder", &unet, &encoder);
            check("decoder", &unet, &decoder);
            check("middle", &unet, &[middle]);
        }
        let values: usize =
            Placement::default().points(&UNetConfig::sd15()).iter().map(|p| p.d * p.size([64, 64])[0].pow(2)).sum();
        assert_eq!(values, 3_031_040);

        // Another depth: two levels, one layer each, attention everywhere. Layers 0, 1, middle 2, 3 to 6.
        let small = UNetConfig {
            block_out_channels: vec![64, 128],
            layers_per_block: 1,
            down_block_types: vec![DownBlockType::CrossAttnDownBlock2D; 2],
            up_block_types: vec![UpBlockType::CrossAttnUpBlock2D; 2],
            attention_head_dim: vec![4; 2],
            transformer_layers_per_block: vec![1; 2],
            ..UNetConfig::sd15()
        };
        let expected = [
            ("down_blocks.0.attentions.0", "input_blocks.1.1", 64, 4096),
            ("mid_block.attentions.0", "middle_block.1", 128, 1024),
            ("up_blocks.0.attentions.1", "output_blocks.1.1", 128, 1024),
            ("up_blocks.1.attentions.1", "output_blocks.3.1", 64, 4096),
        ];
        check("encoder+middle+decoder", &small, &expected);
        // The odd ones are there by their numbers alone; one that is there already is not there twice.
        let single = [expected[0], ("down_blocks.1.attentions.0", "input_blocks.3.1", 128, 1024), expected[3]];
        check("0+1+6", &small, &single);
        check("encoder+0+6+1", &small, &single);
    }

    #[test]
    fn layers_that_a_denoiser_lacks_are_told() {
        let check = |text: &str| text.parse::<Placement>().expect(text).check(&UNetConfig::sd15());
        for text in ["middle+decoder", "encoder", "0+15"] {
            check(text).expect(text);
        }
        let message = check("middle+16").unwrap_err().to_string();
        assert!(message.contains("`middle+16` names layer 16") && message.contains("are 0 to 15"), "{message}");
    }

    #[test]
    fn odd_sizes_round_up() {
        let points = Placement::default().points(&UNetConfig::sd15());
        assert_eq!(points[0].size([65, 9]), [9, 2]);
        assert_eq!(points[4].size([65, 9]), [65, 9]);
    }

    #[test]
    fn parsing_and_printing_is_identity() {
        for text in ["encoder", "middle", "decoder", "middle+decoder", "encoder+middle+decoder", "0+1+63", "middle+7"] {
            assert_eq!(text.parse::<Placement>().expect(text).to_string(), text);
        }
        assert_eq!(Placement::default().to_string(), "middle+decoder");
        for text in ["", "middle,decoder", "middel", "64", "-1", "1+"] {
            assert!(text.parse::<Placement>().is_err(), "{text}");
        }
    }
}
