//! Loading, saving and changing pictures and masks.

mod blend;
pub(crate) mod color;
mod composite;
pub(crate) mod convert;
mod crop;
mod image_info;
mod image_to_mask;
mod invert;
mod load_image;
mod mask_to_image;
pub(crate) mod path_pattern;
mod pick_image;
pub(crate) mod pixels;
pub(crate) mod provenance;
pub(crate) mod resample;
mod resize;
mod save_image;
pub(crate) mod segment_reference;

use std::sync::Arc;

use dc_graph_node_api::Node;

pub(crate) fn nodes() -> Vec<Arc<dyn Node>> {
    vec![
        load_image::node(),
        segment_reference::node(),
        save_image::node(),
        resize::node(),
        crop::node(),
        composite::node(),
        blend::node(),
        invert::node(),
        image_to_mask::node(),
        mask_to_image::node(),
        pick_image::node(),
        image_info::node(),
    ]
}
