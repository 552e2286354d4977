//! Stable Diffusion and DreamCache as nodes. No maths here: tensors are `dc_diffusion`'s business.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `values` | what travels between these nodes: `dc:model`, `dc:conditioning`, `dc:latents`, .. |
//! | `checkpoint` | a walk put aside between two steps, to go on with after a run was killed |
//! | `portable` | these values taken apart and put together again |
//! | `runtime` | the device that models are loaded to, looked up when the first node needs it |
//! | `pictures` | from pictures to tensors and back |
//! | `schedule` | the noise levels that are walked through: ports and what they mean |
//! | `step_hook` | what changes the latents between two steps |
//! | `denoising` | the ports and the loop that `Sample`, `Sample With Cache` and `Attention Maps` share |

mod attention_maps;
mod build_cache;
mod checkpoint;
mod decode_vae;
pub(crate) mod denoising;
mod empty_latents;
mod encode_prompt;
mod encode_vae;
mod load_adapters;
mod load_cache;
mod load_latents;
mod load_model;
pub(crate) mod pictures;
mod portable;
pub(crate) mod runtime;
mod sample;
mod sample_with_cache;
mod save_cache;
mod save_latents;
mod schedule;
mod step_hook;
pub(crate) mod values;

use std::sync::Arc;

use dc_graph_node_api::Node;

use crate::Settings;
pub(crate) use portable::decoders;
use runtime::Runtime;

pub(crate) fn nodes(settings: &Settings) -> Vec<Arc<dyn Node>> {
    vec![
        load_model::node(Runtime::new(settings)),
        encode_prompt::node(),
        build_cache::node(),
        save_cache::node(),
        load_cache::node(),
        load_adapters::node(),
        sample_with_cache::node(),
        sample::node(),
        attention_maps::node(),
        decode_vae::node(),
        encode_vae::node(),
        empty_latents::node(),
        save_latents::node(),
        load_latents::node(),
    ]
}
