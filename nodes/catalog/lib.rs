//! The built-in nodes of dc-graph, one a file, grouped by the kind of thing they work on.
//!
//! A node is a [`NodeSpec`](dc_graph_node_api::NodeSpec) and a function from inputs to outputs; what is worth a name of
//! its own (resampling, lettering, cutting a subject out) lives beside the nodes that use it, and tensors are
//! `dc_diffusion`'s business.
//!
//! | room | what lives there |
//! | --- | --- |
//! | `image` | loading, saving and changing pictures and masks |
//! | `cut` | the foreground cut behind `Segment Reference` |
//! | `sheet` | `Contact Sheet` and its lettering |
//! | `diffusion` | Stable Diffusion and DreamCache |
//! | `training` | training the small model and adapters |
//! | `stickers` | a small world to learn in, drawn by the program |
//! | `evaluation` | measuring what models draw |
//! | `text`, `number` | constants and templates |
//!
//! # Adding a node
//! One file with a `node()` function, one line in the list of its folder's `mod.rs`, one line in `plugin.toml`.

mod cut;
mod diffusion;
mod evaluation;
mod function;
mod image;
mod number;
mod sheet;
mod stickers;
mod text;
mod training;

use std::sync::Arc;

use dc_graph_node_api::{Decode, Node};

/// The models behind the nodes, for commands that look into their files.
pub use dc_diffusion;

pub use crate::image::convert::read_picture;
pub use crate::image::provenance::{PROVENANCE_KEYWORD, png_bytes, read_provenance};
pub use crate::image::resample::resized;
pub use crate::sheet::axis_sheet::axis_sheet;

/// The manifest of this pack: `plugin.toml`.
pub const MANIFEST: &str = include_str!("../../plugin.toml");

/// What the program was started with, as far as nodes care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where tensors live: `auto`, `cpu`, `wgpu`, `wgpu:1`, .. Looked up when the first node needs it.
    pub device: String,
    /// The number type of models: `auto`, `f32`, `f16` or `bf16`.
    pub dtype: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { device: "auto".into(), dtype: "auto".into() }
    }
}

/// Every built-in node, in the order of listings. Makes no device and reads no file: both wait until a node runs.
pub fn nodes(settings: &Settings) -> Vec<Arc<dyn Node>> {
    let mut all = Vec::new();
    all.extend(image::nodes());
    all.extend(sheet::nodes());
    all.extend(diffusion::nodes(settings));
    all.extend(training::nodes(settings));
    all.extend(stickers::nodes());
    all.extend(evaluation::nodes(settings));
    all.extend(text::nodes());
    all.extend(number::nodes());
    all
}

/// For each opaque port type whose values can leave the process, the function that puts them together again.
pub fn decoders() -> Vec<(&'static str, Decode)> {
    diffusion::decoders()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn specs_are_complete() {
        let mut types = HashSet::new();
        for node in nodes(&Settings::default()) {
            let spec = node.spec();
            assert!(types.insert(spec.type_name.clone()), "`{}` is there twice", spec.type_name);
            assert!(!spec.outputs.is_empty(), "`{}` gives nothing", spec.type_name);
            assert!(spec.description.ends_with('.'), "`{}`: its description is not a sentence", spec.type_name);
            let ports = spec.inputs.iter().map(|i| (&i.name, &i.description));
            let ports = ports.chain(spec.outputs.iter().map(|o| (&o.name, &o.description)));
            for (name, description) in ports {
                assert!(description.ends_with('.'), "`{}.{name}`: `{description}` is not a sentence", spec.type_name);
            }
            for names in [
                spec.inputs.iter().map(|i| &i.name).collect::<Vec<_>>(),
                spec.outputs.iter().map(|o| &o.name).collect(),
            ] {
                assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "`{}`", spec.type_name);
            }
            for input in &spec.inputs {
                let Some(default) = &input.default else { continue };
                assert_eq!(default.port_type(), input.ty, "`{}.{}`", spec.type_name, input.name);
                if let (Some(range), dc_graph_node_api::Value::Integer(i)) = (&input.range, default) {
                    assert!(range.contains(&(*i as f64)), "`{}.{}`", spec.type_name, input.name);
                }
                if let (false, dc_graph_node_api::Value::Text(t)) = (input.choices.is_empty(), default) {
                    assert!(input.choices.iter().any(|c| c == &**t), "`{}.{}`", spec.type_name, input.name);
                }
            }
        }
    }
    #[test]
    fn manifest_names_every_node() {
        let list = MANIFEST.split_once("\nnodes = [").unwrap().1.split_once(']').unwrap().0;
        let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
        let nodes = nodes(&Settings::default());
        let there: Vec<&str> = nodes.iter().map(|n| &*n.spec().type_name).collect();
        assert_eq!(named, there);
    }
}
