//! The configuration of a single file, which has none: told by its tensors.

use super::Family;
use crate::error::Error;
use crate::text::{ClipTextConfig, HiddenAct};
use crate::unet::UNetConfig;
use crate::unet::config::{DownBlockType, UpBlockType};
use crate::vae::VaeConfig;
use crate::weights::{TensorSource, missing};

const UNET: &str = "model.diffusion_model";
const VAE: &str = "first_stage_model";
const OPENAI: &str = "cond_stage_model.transformer.text_model";
const OPEN_CLIP: &str = "cond_stage_model.model";

/// Whether a source has the names of a CompVis file.
pub(in crate::checkpoint) fn is_compvis(source: &dyn TensorSource) -> bool {
    source.contains(&format!("{UNET}.input_blocks.0.0.weight"))
}

/// The configurations of the three models in a file.
pub(in crate::checkpoint) struct Structure {
    pub(in crate::checkpoint) family: Family,
    pub(in crate::checkpoint) unet: UNetConfig,
    pub(in crate::checkpoint) vae: VaeConfig,
    pub(in crate::checkpoint) text: ClipTextConfig,
}

impl Structure {
    /// Reads counts and widths off names and shapes. Numbers of attention heads leave no trace in a file; they are
    /// those of the families: 8 in SD 1.x's denoiser, one per 64 channels elsewhere.
    pub(in crate::checkpoint) fn of(source: &dyn TensorSource) -> Result<Self, Error> {
        let open_clip = source.contains(&format!("{OPEN_CLIP}.token_embedding.weight"));
        let family = if open_clip { Family::Sd2 } else { Family::Sd1 };
        let unet = unet(source, family)?;
        let text = if open_clip { open_clip_text(source)? } else { openai_text(source)? };
        if unet.cross_attention_dim != text.hidden_size {
            let (expected, found) = (unet.cross_attention_dim, text.hidden_size);
            return Err(Error::Mismatch {
                origin: source.origin(),
                message: format!("the denoiser expects a text context {expected} wide, the text encoder makes {found}"),
            });
        }
        text.validate()?;
        let vae = vae(source)?;
        vae.validate()?;
        Ok(Self { family, unet, vae, text })
    }
}

fn extent(source: &dyn TensorSource, name: &str, axis: usize) -> Result<usize, Error> {
    let info = source.info(name).ok_or_else(|| missing(source, name))?;
    info.shape.get(axis).copied().ok_or_else(|| Error::Mismatch {
        origin: source.origin(),
        message: format!("tensor `{name}` should have more than {axis} axes, found the shape {:?}", info.shape),
    })
}

/// How many there are in a row from 0. A file has fewer names than this can count.
fn count(source: &dyn TensorSource, name: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|i| source.contains(&name(*i))).count()
}

/// One head for every 64 channels, and for narrower test models one in all.
fn heads(channels: usize) -> usize {
    (channels / 64).max(1)
}

fn unet(source: &dyn TensorSource, family: Family) -> Result<UNetConfig, Error> {
    let input = |i: usize, rest: &str| format!("{UNET}.input_blocks.{i}.{rest}");
    let resnet = |i: usize| source.contains(&input(i, "0.in_layers.0.weight"));
    let attention = |side: &str, i: usize| source.contains(&format!("{UNET}.{side}_blocks.{i}.1.norm.weight"));
    // input_blocks: the first convolution, then for every level its layers and, but for the last, a downsampler
    let layers = (1..).take_while(|i| resnet(*i)).count();
    let levels = 1 + (1..).take_while(|l| source.contains(&input(l * (layers + 1), "0.op.weight"))).count();
    let level_start = |level: usize| 1 + level * (layers + 1);
    let widths = (0..levels)
        .map(|level| extent(source, &input(level_start(level), "0.out_layers.3.weight"), 0))
        .collect::<Result<Vec<_>, _>>()?;
    let down = |has| if has { DownBlockType::CrossAttnDownBlock2D } else { DownBlockType::DownBlock2D };
    let up = |has| if has { UpBlockType::CrossAttnUpBlock2D } else { UpBlockType::UpBlock2D };
    let middle = |rest: &str| format!("{UNET}.middle_block.1.{rest}");
    let block = |at: &str, i: usize| format!("{UNET}.{at}.1.transformer_blocks.{i}.norm1.weight");
    let blocks_at = |at: &str| count(source, |i| block(at, i)).max(1);
    let config = UNetConfig {
        in_channels: extent(source, &input(0, "0.weight"), 1)?,
        out_channels: extent(source, &format!("{UNET}.out.2.weight"), 0)?,
        down_block_types: (0..levels).map(|level| down(attention("input", level_start(level)))).collect(),
        up_block_types: (0..levels).map(|block| up(attention("output", block * (layers + 1)))).collect(),
        layers_per_block: layers,
        transformer_layers_per_block: (0..levels)
            .map(|level| match level + 1 == levels {
                true => blocks_at("middle_block"),
                false => blocks_at(&format!("input_blocks.{}", level_start(level))),
            })
            .collect(),
        cross_attention_dim: extent(source, &middle("transformer_blocks.0.attn2.to_k.weight"), 1)?,
        attention_head_dim: match family {
            Family::Sd1 => vec![8; levels],
            Family::Sd2 => widths.iter().map(|width| heads(*width)).collect(),
        },
        use_linear_projection: source.info(&middle("proj_in.weight")).is_some_and(|info| info.shape.len() == 2),
        block_out_channels: widths,
        ..UNetConfig::sd15()
    };
    // Back through its own file form, so that it is checked as a `config.json` is.
    let text = serde_json::to_string(&config).map_err(|error| Error::Config(error.to_string()))?;
    UNetConfig::from_json(&text)
}

fn vae(source: &dyn TensorSource) -> Result<VaeConfig, Error> {
    let resnet = |level: usize, layer: usize, rest: &str| format!("{VAE}.encoder.down.{level}.block.{layer}.{rest}");
    let levels = count(source, |level| resnet(level, 0, "conv1.weight"));
    Ok(VaeConfig {
        in_channels: extent(source, &format!("{VAE}.encoder.conv_in.weight"), 1)?,
        out_channels: extent(source, &format!("{VAE}.decoder.conv_out.weight"), 0)?,
        latent_channels: extent(source, &format!("{VAE}.decoder.conv_in.weight"), 1)?,
        block_out_channels: (0..levels)
            .map(|level| extent(source, &resnet(level, 0, "conv1.weight"), 0))
            .collect::<Result<_, _>>()?,
        layers_per_block: count(source, |layer| resnet(0, layer, "conv1.weight")),
        down_block_types: vec!["DownEncoderBlock2D".into(); levels],
        up_block_types: vec!["UpDecoderBlock2D".into(); levels],
        ..VaeConfig::default()
    })
}

fn openai_text(source: &dyn TensorSource) -> Result<ClipTextConfig, Error> {
    let name = |rest: &str| format!("{OPENAI}.{rest}");
    let hidden_size = extent(source, &name("embeddings.token_embedding.weight"), 1)?;
    Ok(ClipTextConfig {
        vocab_size: extent(source, &name("embeddings.token_embedding.weight"), 0)?,
        hidden_size,
        intermediate_size: extent(source, &name("encoder.layers.0.mlp.fc1.weight"), 0)?,
        num_hidden_layers: count(source, |i| name(&format!("encoder.layers.{i}.layer_norm1.weight"))),
        num_attention_heads: heads(hidden_size),
        max_position_embeddings: extent(source, &name("embeddings.position_embedding.weight"), 0)?,
        hidden_act: HiddenAct::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 49_407,
    })
}

fn open_clip_text(source: &dyn TensorSource) -> Result<ClipTextConfig, Error> {
    let name = |rest: &str| format!("{OPEN_CLIP}.{rest}");
    let hidden_size = extent(source, &name("token_embedding.weight"), 1)?;
    let layers = count(source, |i| name(&format!("transformer.resblocks.{i}.ln_1.weight")));
    Ok(ClipTextConfig {
        vocab_size: extent(source, &name("token_embedding.weight"), 0)?,
        hidden_size,
        intermediate_size: extent(source, &name("transformer.resblocks.0.mlp.c_fc.weight"), 0)?,
        // Stable Diffusion 2.x conditions on the state before the last layer; the published folders leave it out, too.
        num_hidden_layers: layers.saturating_sub(1),
        num_attention_heads: heads(hidden_size),
        max_position_embeddings: extent(source, &name("positional_embedding"), 0)?,
        hidden_act: HiddenAct::Gelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 49_407,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use burn::tensor::{DType, TensorData};

    use super::*;
    use crate::checkpoint::Component;
    use crate::checkpoint::compvis::{Part, Place, text_places, unet_places, vae_places};
    use crate::text::ClipTextModel;
    use crate::unet::UNet;
    use crate::vae::Vae;
    use crate::weights::{Recipe, TensorInfo, Weights};

    /// A file of which only the header exists.
    #[derive(Default)]
    struct Header(BTreeMap<String, Vec<usize>>);

    impl Header {
        fn add<C, M>(&mut self, config: &C, load: impl Fn(&Weights, &C) -> Result<M, Error>, places: Vec<Place>)
        where
            C: Clone,
        {
            let component = Component { config: config.clone(), source: Arc::new(Recipe::new("")) };
            let shapes = component.shapes(load).unwrap();
            for place in places {
                let Some(shape) = shapes.get(&place.name) else { continue };
                let shape = match place.part {
                    Part::Whole => shape.clone(),
                    Part::Squeezed => [shape.as_slice(), &[1, 1]].concat(),
                    Part::Third(_) => [&[3 * shape[0]], &shape[1..]].concat(),
                };
                self.0.insert(place.compvis, shape);
            }
        }
    }

    impl TensorSource for Header {
        fn read(&self, name: &str, _shape: &[usize]) -> Result<TensorData, Error> {
            Err(missing(self, name))
        }

        fn names(&self) -> Vec<String> {
            self.0.keys().cloned().collect()
        }

        fn contains(&self, name: &str) -> bool {
            self.0.contains_key(name)
        }

        fn info(&self, name: &str) -> Option<TensorInfo> {
            self.0.get(name).map(|shape| TensorInfo { dtype: DType::F16, shape: shape.clone() })
        }

        fn origin(&self) -> String {
            "a header".into()
        }
    }

    #[test]
    fn the_published_models_are_told_by_their_shapes() {
        // `text_encoder/config.json` of the published folders; open_clip's file has one layer more.
        let sd1 = ClipTextConfig {
            vocab_size: 49_408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49_407,
        };
        let sd2 = ClipTextConfig {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 23,
            num_attention_heads: 16,
            hidden_act: HiddenAct::Gelu,
            ..sd1.clone()
        };
        for (family, unet, text) in [(Family::Sd1, UNetConfig::sd15(), sd1), (Family::Sd2, UNetConfig::sd21(), sd2)] {
            let (vae, mut header) = (VaeConfig::default(), Header::default());
            let file_text = ClipTextConfig {
                num_hidden_layers: text.num_hidden_layers + usize::from(family == Family::Sd2),
                ..text.clone()
            };
            header.add(&unet, UNet::load, unet_places(&unet));
            header.add(&vae, Vae::load, vae_places(&vae));
            header.add(&file_text, ClipTextModel::load, text_places(family, &file_text));
            assert!(is_compvis(&header));
            let found = Structure::of(&header).unwrap();
            assert_eq!((found.family, &found.unet, &found.vae, &found.text), (family, &unet, &vae, &text));
            let unused =
                header.0.keys().filter(|name| crate::checkpoint::compvis::unused_reason(name, &found).is_some());
            assert_eq!(unused.count(), if family == Family::Sd2 { 12 } else { 0 });
        }
    }
}
