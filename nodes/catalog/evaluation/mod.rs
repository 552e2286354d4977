//! Evaluation as nodes: whether pictures keep their subject, and whether they show what the text says.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `subject` | where the subject of a picture is |
//! | `descriptor` | its colors and its shape as numbers |
//! | `compare` | whom pictures show, told by such numbers |
//! | `questions` | what a classifier is asked of pictures of the sticker world |
//! | `values` | what travels between these nodes: `dc:embeddings`, `dc:answers` |

mod classify_images;
mod compare;
mod compare_embeddings;
mod descriptor;
mod embed_images;
mod personalization_table;
mod questions;
mod reconstruct_images;
mod sample_subjects;
mod subject;
mod subject_rows;
mod train_classifier;
mod values;

use std::sync::Arc;

use dc_graph_node_api::Node;

use crate::Settings;
use crate::diffusion::runtime::Runtime;

pub(crate) fn nodes(settings: &Settings) -> Vec<Arc<dyn Node>> {
    vec![
        sample_subjects::node(),
        reconstruct_images::node(),
        embed_images::node(),
        compare_embeddings::node(),
        train_classifier::node(Runtime::new(settings)),
        classify_images::node(Runtime::new(settings)),
        personalization_table::node(),
        subject_rows::node(),
    ]
}
