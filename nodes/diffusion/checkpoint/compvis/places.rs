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
