//! Which tensor of a CompVis file is which tensor of a diffusers folder.
//!
//! `L`, `J`, `I` count levels, layers and decoder blocks from 0, `n` is `layers_per_block`, `last` the innermost level.
//!
//! | denoiser, diffusers | CompVis, after `model.diffusion_model.` |
//! | --- | --- |
//! | `time_embedding.linear_1`, `.linear_2` | `time_embed.0`, `.2` |
//! | `conv_in` | `input_blocks.0.0` |
//! | `down_blocks.L.resnets.J`, `.attentions.J` | `input_blocks.{1 + L(n+1) + J}.0`, `.1` |
//! | `down_blocks.L.downsamplers.0.conv` | `input_blocks.{(L+1)(n+1)}.0.op` |
//! | `mid_block.resnets.0`, `.attentions.0`, `.resnets.1` | `middle_block.0`, `.1`, `.2` |
//! | `up_blocks.I.resnets.J`, `.attentions.J` | `output_blocks.{I(n+1) + J}.0`, `.1` |
//! | `up_blocks.I.upsamplers.0.conv` | `output_blocks.{I(n+1) + n}.2.conv`, `.1.conv` where the block has no attention |
//! | `conv_norm_out`, `conv_out` | `out.0`, `out.2` |
//! | inside a ResNet: `norm1`, `conv1`, `time_emb_proj` | `in_layers.0`, `in_layers.2`, `emb_layers.1` |
//! | `norm2`, `conv2`, `conv_shortcut` | `out_layers.0`, `out_layers.3`, `skip_connection` |
//! | inside an attention layer | the same names |
//!
//! | autoencoder, diffusers | CompVis, after `first_stage_model.` |
//! | --- | --- |
//! | `encoder.down_blocks.L.resnets.J` | `encoder.down.L.block.J` |
//! | `encoder.down_blocks.L.downsamplers.0.conv` | `encoder.down.L.downsample.conv` |
//! | `{en,de}coder.mid_block.resnets.0`, `.attentions.0`, `.resnets.1` | `{en,de}coder.mid.block_1`, `.attn_1`, `.block_2` |
//! | `decoder.up_blocks.I.resnets.J` | `decoder.up.{last - I}.block.J` |
//! | `decoder.up_blocks.I.upsamplers.0.conv` | `decoder.up.{last - I}.upsample.conv` |
//! | `{en,de}coder.conv_in`, `.conv_norm_out`, `.conv_out` | `.conv_in`, `.norm_out`, `.conv_out` |
//! | `quant_conv`, `post_quant_conv` | the same names |
//! | inside a ResNet: `conv_shortcut` | `nin_shortcut`, all else the same |
//! | inside an attention layer: `group_norm`, `to_q`, `to_k`, `to_v`, `to_out.0` | `norm`, `q`, `k`, `v`, `proj_out`: the four as 1x1 convolutions |
//!
//! | text encoder, transformers | SD 1.x, after `cond_stage_model.transformer.text_model.` | SD 2.x (open_clip), after `cond_stage_model.model.` |
//! | --- | --- | --- |
//! | `embeddings.token_embedding.weight` | the same names | `token_embedding.weight` |
//! | `embeddings.position_embedding.weight` | | `positional_embedding` |
//! | `encoder.layers.J.layer_norm1`, `.layer_norm2` | | `transformer.resblocks.J.ln_1`, `.ln_2` |
//! | `encoder.layers.J.self_attn.{q,k,v}_proj.{weight,bias}` | | thirds of `transformer.resblocks.J.attn.in_proj_{weight,bias}` |
//! | `encoder.layers.J.self_attn.out_proj` | | `transformer.resblocks.J.attn.out_proj` |
//! | `encoder.layers.J.mlp.fc1`, `.fc2` | | `transformer.resblocks.J.mlp.c_fc`, `.c_proj` |
//! | `final_layer_norm` | | `ln_final` |

use super::Family;
use crate::text::ClipTextConfig;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

/// How a tensor lies in the one of the other file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Whole,
    /// With two more extents of 1 there, `[out, in, 1, 1]`: a linear layer stored as a convolution.
    Squeezed,
    /// One third of the rows: 0 query, 1 key, 2 value.
    Third(usize),
}

/// One row of the tables above, for one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name in diffusers' or transformers' layout, within its component.
    pub name: String,
    /// Its full name in a CompVis file, or that of the tensor that holds it.
    pub compvis: String,
    /// Which part of that.
    pub part: Part,
}

/// The places of every tensor that a denoiser of this structure can have.
pub fn unet_places(config: &UNetConfig) -> Vec<Place> {
    let mut places = Places::new("model.diffusion_model");
    let (levels, n) = (config.levels(), config.layers_per_block);
    places.module("time_embedding.linear_1", "time_embed.0");
    places.module("time_embedding.linear_2", "time_embed.2");
    places.module("conv_in", "input_blocks.0.0");
    for level in 0..levels {
        for layer in 0..n {
            let (ours, theirs) =
                (format!("down_blocks.{level}"), format!("input_blocks.{}", 1 + level * (n + 1) + layer));
            places.unet_resnet(&format!("{ours}.resnets.{layer}"), &format!("{theirs}.0"));
            if config.down_has_attention(level) {
                let blocks = config.transformer_layers_per_block[level];
                places.unet_attention(&format!("{ours}.attentions.{layer}"), &format!("{theirs}.1"), blocks);
            }
        }
        let theirs = format!("input_blocks.{}.0.op", (level + 1) * (n + 1));
        places.module(&format!("down_blocks.{level}.downsamplers.0.conv"), &theirs);
    }
    places.unet_resnet("mid_block.resnets.0", "middle_block.0");
    let blocks = config.transformer_layers_per_block.last().copied().unwrap_or(1);
    places.unet_attention("mid_block.attentions.0", "middle_block.1", blocks);
    places.unet_resnet("mid_block.resnets.1", "middle_block.2");
    for block in 0..levels {
        for layer in 0..=n {
            let (ours, theirs) = (format!("up_blocks.{block}"), format!("output_blocks.{}", block * (n + 1) + layer));
            places.unet_resnet(&format!("{ours}.resnets.{layer}"), &format!("{theirs}.0"));
            if config.up_has_attention(block) {
                let blocks = config.transformer_layers_per_block[levels - 1 - block];
                places.unet_attention(&format!("{ours}.attentions.{layer}"), &format!("{theirs}.1"), blocks);
            }
        }
        let position = if config.up_has_attention(block) { 2 } else { 1 };
        let theirs = format!("output_blocks.{}.{position}.conv", block * (n + 1) + n);
        places.module(&format!("up_blocks.{block}.upsamplers.0.conv"), &theirs);
    }
    places.module("conv_norm_out", "out.0");
    places.module("conv_out", "out.2");
    places.list
}

/// The places of every tensor of an autoencoder of this structure.
pub fn vae_places(config: &VaeConfig) -> Vec<Place> {
    let mut places = Places::new("first_stage_model");
    let (levels, n) = (config.block_out_channels.len(), config.layers_per_block);
    for level in 0..levels {
        for layer in 0..n {
            let ours = format!("encoder.down_blocks.{level}.resnets.{layer}");
            places.vae_resnet(&ours, &format!("encoder.down.{level}.block.{layer}"));
        }
        let ours = format!("encoder.down_blocks.{level}.downsamplers.0.conv");
        places.module(&ours, &format!("encoder.down.{level}.downsample.conv"));
    }
    for block in 0..levels {
        let theirs = format!("decoder.up.{}", levels - 1 - block);
        for layer in 0..=n {
            places
                .vae_resnet(&format!("decoder.up_blocks.{block}.resnets.{layer}"), &format!("{theirs}.block.{layer}"));
        }
        places.module(&format!("decoder.up_blocks.{block}.upsamplers.0.conv"), &format!("{theirs}.upsample.conv"));
    }
    for half in ["encoder", "decoder"] {
        for (ours, theirs) in [("resnets.0", "block_1"), ("resnets.1", "block_2")] {
            places.vae_resnet(&format!("{half}.mid_block.{ours}"), &format!("{half}.mid.{theirs}"));
        }
        let (ours, theirs) = (format!("{half}.mid_block.attentions.0"), format!("{half}.mid.attn_1"));
        places.module(&format!("{ours}.group_norm"), &format!("{theirs}.norm"));
        for (a, b) in [("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")] {
            places.add(&format!("{ours}.{a}.weight"), &format!("{theirs}.{b}.weight"), Part::Squeezed);
            places.add(&format!("{ours}.{a}.bias"), &format!("{theirs}.{b}.bias"), Part::Whole);
        }
        for (ours, theirs) in [("conv_in", "conv_in"), ("conv_norm_out", "norm_out"), ("conv_out", "conv_out")] {
            places.module(&format!("{half}.{ours}"), &format!("{half}.{theirs}"));
        }
    }
    places.module("quant_conv", "quant_conv");
    places.module("post_quant_conv", "post_quant_conv");
    places.list
}

/// The places of every tensor of a text encoder of this structure.
pub fn text_places(family: Family, config: &ClipTextConfig) -> Vec<Place> {
    let mut places = Places::new(match family {
        Family::Sd1 => "cond_stage_model.transformer.text_model",
        Family::Sd2 => "cond_stage_model.model",
    });
    // Ours, SD 1.x's and SD 2.x's name of a module.
    let pick = |ours: &'static str, open_clip: &'static str| match family {
        Family::Sd1 => (ours, ours),
        Family::Sd2 => (ours, open_clip),
    };
    for (ours, theirs) in [
        pick("embeddings.token_embedding.weight", "token_embedding.weight"),
        pick("embeddings.position_embedding.weight", "positional_embedding"),
    ] {
        places.add(ours, theirs, Part::Whole);
    }
    for layer in 0..config.num_hidden_layers {
        let ours = format!("encoder.layers.{layer}");
        let theirs = if family == Family::Sd1 { ours.clone() } else { format!("transformer.resblocks.{layer}") };
        for (a, b) in [
            pick("layer_norm1", "ln_1"),
            pick("layer_norm2", "ln_2"),
            pick("self_attn.out_proj", "attn.out_proj"),
            pick("mlp.fc1", "mlp.c_fc"),
            pick("mlp.fc2", "mlp.c_proj"),
        ] {
            places.module(&format!("{ours}.{a}"), &format!("{theirs}.{b}"));
        }
        for (third, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
            let ours = format!("{ours}.self_attn.{name}");
            if family == Family::Sd1 {
                places.module(&ours, &ours);
                continue;
            }
            for kind in ["weight", "bias"] {
                let theirs = format!("{theirs}.attn.in_proj_{kind}");
                places.add(&format!("{ours}.{kind}"), &theirs, Part::Third(third));
            }
        }
    }
    let (ours, theirs) = pick("final_layer_norm", "ln_final");
    places.module(ours, theirs);
    places.list
}

struct Places {
    prefix: &'static str,
    list: Vec<Place>,
}

impl Places {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, list: Vec::new() }
    }

    fn add(&mut self, name: &str, compvis: &str, part: Part) {
        self.list.push(Place { name: name.into(), compvis: format!("{}.{compvis}", self.prefix), part });
    }

    /// A module may lack its bias, and the structure may lack the module (a shortcut between equal widths); then
    /// nobody asks for the place.
    fn module(&mut self, name: &str, compvis: &str) {
        for kind in ["weight", "bias"] {
            self.add(&format!("{name}.{kind}"), &format!("{compvis}.{kind}"), Part::Whole);
        }
    }

    fn unet_resnet(&mut self, name: &str, compvis: &str) {
        for (ours, theirs) in [
            ("norm1", "in_layers.0"),
            ("conv1", "in_layers.2"),
            ("time_emb_proj", "emb_layers.1"),
            ("norm2", "out_layers.0"),
            ("conv2", "out_layers.3"),
            ("conv_shortcut", "skip_connection"),
        ] {
            self.module(&format!("{name}.{ours}"), &format!("{compvis}.{theirs}"));
        }
    }

    fn unet_attention(&mut self, name: &str, compvis: &str, blocks: usize) {
        for module in ["norm", "proj_in", "proj_out"] {
            self.module(&format!("{name}.{module}"), &format!("{compvis}.{module}"));
        }
        for block in 0..blocks {
            let inside = ["norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"].map(String::from).into_iter();
            let attentions = ["attn1", "attn2"].into_iter();
            let projections = attentions.flat_map(|a| ["to_q", "to_k", "to_v", "to_out.0"].map(|p| format!("{a}.{p}")));
            for module in inside.chain(projections) {
                let module = format!("transformer_blocks.{block}.{module}");
                self.module(&format!("{name}.{module}"), &format!("{compvis}.{module}"));
            }
        }
    }

    fn vae_resnet(&mut self, name: &str, compvis: &str) {
        for (ours, theirs) in [
            ("norm1", "norm1"),
            ("conv1", "conv1"),
            ("norm2", "norm2"),
            ("conv2", "conv2"),
            ("conv_shortcut", "nin_shortcut"),
        ] {
            self.module(&format!("{name}.{ours}"), &format!("{compvis}.{theirs}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::checkpoint::Random;
    use crate::text::ClipTextConfig;

    /// Names as they are in the published `v1-5-pruned.safetensors` and `v2-1_512-ema-pruned.safetensors`.
    #[test]
    fn names_are_those_of_the_published_files() {
        let check = |places: &[Place], name: &str, compvis: &str, part: Part| {
            let place = places.iter().find(|place| place.name == name).unwrap_or_else(|| panic!("no `{name}`"));
            assert_eq!((place.compvis.as_str(), place.part), (compvis, part), "{name}");
            // One to one: no other tensor lies there.
            assert_eq!(
                places.iter().filter(|p| (p.compvis.as_str(), p.part) == (compvis, part)).count(),
                1,
                "{compvis}"
            );
        };
        let unet = unet_places(&UNetConfig::sd15());
        for (name, compvis) in [
            ("time_embedding.linear_1.weight", "time_embed.0.weight"),
            ("time_embedding.linear_2.bias", "time_embed.2.bias"),
            ("conv_in.weight", "input_blocks.0.0.weight"),
            ("down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"),
            ("down_blocks.0.attentions.1.proj_in.weight", "input_blocks.2.1.proj_in.weight"),
            ("down_blocks.0.downsamplers.0.conv.weight", "input_blocks.3.0.op.weight"),
            ("down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
            ("down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
            ("down_blocks.3.resnets.1.time_emb_proj.weight", "input_blocks.11.0.emb_layers.1.weight"),
            ("mid_block.resnets.0.conv2.weight", "middle_block.0.out_layers.3.weight"),
            (
                "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.bias",
                "middle_block.1.transformer_blocks.0.attn2.to_out.0.bias",
            ),
            ("mid_block.resnets.1.norm2.bias", "middle_block.2.out_layers.0.bias"),
            ("up_blocks.0.resnets.2.conv1.weight", "output_blocks.2.0.in_layers.2.weight"),
            ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
            ("up_blocks.1.attentions.1.norm.weight", "output_blocks.4.1.norm.weight"),
            ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
            ("up_blocks.2.upsamplers.0.conv.bias", "output_blocks.8.2.conv.bias"),
            (
                "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.weight",
                "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight",
            ),
            ("conv_norm_out.weight", "out.0.weight"),
            ("conv_out.bias", "out.2.bias"),
        ] {
            check(&unet, name, &format!("model.diffusion_model.{compvis}"), Part::Whole);
        }
        let vae = vae_places(&VaeConfig::default());
        let (whole, squeezed) = (Part::Whole, Part::Squeezed);
        for (name, compvis, part) in [
            ("encoder.conv_in.weight", "encoder.conv_in.weight", whole),
            (
                "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
                "encoder.down.1.block.0.nin_shortcut.weight",
                whole,
            ),
            ("encoder.down_blocks.2.downsamplers.0.conv.bias", "encoder.down.2.downsample.conv.bias", whole),
            ("encoder.mid_block.resnets.1.norm2.bias", "encoder.mid.block_2.norm2.bias", whole),
            ("encoder.mid_block.attentions.0.group_norm.weight", "encoder.mid.attn_1.norm.weight", whole),
            ("encoder.mid_block.attentions.0.to_k.weight", "encoder.mid.attn_1.k.weight", squeezed),
            ("decoder.mid_block.attentions.0.to_out.0.weight", "decoder.mid.attn_1.proj_out.weight", squeezed),
            ("decoder.mid_block.attentions.0.to_out.0.bias", "decoder.mid.attn_1.proj_out.bias", whole),
            ("decoder.up_blocks.0.resnets.2.conv1.weight", "decoder.up.3.block.2.conv1.weight", whole),
            ("decoder.up_blocks.0.upsamplers.0.conv.weight", "decoder.up.3.upsample.conv.weight", whole),
            ("decoder.up_blocks.3.resnets.0.conv_shortcut.bias", "decoder.up.0.block.0.nin_shortcut.bias", whole),
            ("decoder.conv_norm_out.weight", "decoder.norm_out.weight", whole),
            ("post_quant_conv.weight", "post_quant_conv.weight", whole),
        ] {
            check(&vae, name, &format!("first_stage_model.{compvis}"), part);
        }
        let text = Random::Sd15Tiny.checkpoint().text.config;
        let sd1 = text_places(Family::Sd1, &text);
        for name in ["embeddings.position_embedding.weight", "encoder.layers.1.self_attn.q_proj.bias"] {
            check(&sd1, name, &format!("cond_stage_model.transformer.text_model.{name}"), Part::Whole);
        }
        let sd2 = text_places(Family::Sd2, &ClipTextConfig { num_hidden_layers: 23, ..text });
        for (name, compvis, part) in [
            ("embeddings.token_embedding.weight", "token_embedding.weight", whole),
            ("embeddings.position_embedding.weight", "positional_embedding", whole),
            ("encoder.layers.22.layer_norm2.bias", "transformer.resblocks.22.ln_2.bias", whole),
            ("encoder.layers.0.self_attn.k_proj.weight", "transformer.resblocks.0.attn.in_proj_weight", Part::Third(1)),
            ("encoder.layers.0.self_attn.v_proj.bias", "transformer.resblocks.0.attn.in_proj_bias", Part::Third(2)),
            ("encoder.layers.0.self_attn.out_proj.weight", "transformer.resblocks.0.attn.out_proj.weight", whole),
            ("encoder.layers.3.mlp.fc2.weight", "transformer.resblocks.3.mlp.c_proj.weight", whole),
            ("final_layer_norm.weight", "ln_final.weight", whole),
        ] {
            check(&sd2, name, &format!("cond_stage_model.model.{compvis}"), part);
        }
        for places in [&unet, &vae, &sd1, &sd2] {
            let names: HashSet<_> = places.iter().map(|place| &place.name).collect();
            assert_eq!(names.len(), places.len(), "every name once");
        }
    }
}
