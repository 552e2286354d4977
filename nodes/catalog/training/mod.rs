//! Training as nodes. No maths here: `dc_diffusion::training` does the work.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `values` | what travels between these nodes: `dc:triplets` |
//! | `folder` | a folder of triplets |
//! | `settings` | the ports that all trainings share |
//! | `watching` | what a run tells on its way: progress, curve, sheets |
//! | `curve` | the loss as a picture |

mod curve;
mod folder;
mod load_triplets;
pub(crate) mod settings;
mod train_adapters;
mod train_autoencoder;
mod train_denoiser;
pub(crate) mod values;
pub(crate) mod watching;

use std::sync::Arc;

use dc_graph_node_api::Node;

use crate::Settings;
use crate::diffusion::runtime::Runtime;

pub(crate) fn nodes(settings: &Settings) -> Vec<Arc<dyn Node>> {
    vec![
        load_triplets::node(),
        train_autoencoder::node(Runtime::new(settings)),
        train_denoiser::node(Runtime::new(settings)),
        train_adapters::node(),
    ]
}
