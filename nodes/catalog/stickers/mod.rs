//! Stickers: a small world to learn in, drawn by the program.
//!
//! A picture shows a subject in a scene; its caption tells the subject's *category*, the scene and one treatment, never
//! who of its kind it is. That is what the reference is for. Everything is decided by hashes of a seed and an index.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `picks` | decisions from hashes |
//! | `sprite`, `canvas` | small pictures with transparency, and drawing them by distance functions |
//! | `glyphs`, `drawn` | the subjects: glyphs of a font, and procedural creatures and things |
//! | `subjects` | all of them, each in many colors and patterns; who is held out |
//! | `categories`, `scenes`, `treatments`, `captions` | what the text can say |
//! | `composition` | from subject, scene and treatment to pixels |
//! | `world`, `dataset` | any number of pictures, each by its index |

mod canvas;
pub(crate) mod captions;
mod categories;
mod composition;
mod dataset;
mod drawn;
mod glyphs;
mod make_stickers;
mod picks;
pub(crate) mod scenes;
mod sprite;
mod sticker_evaluation;
mod subjects;
pub(crate) mod treatments;
mod world;

use std::sync::Arc;

use dc_graph_node_api::Node;

pub(crate) fn nodes() -> Vec<Arc<dyn Node>> {
    vec![make_stickers::node(), sticker_evaluation::node()]
}
