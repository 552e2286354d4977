//! What the parts of a model cost: arithmetic and bytes by their structure, and work to be timed.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`cost`] | the least that a part has to compute and to read |
//! | [`parts`] | [`Bench`]: each part as a piece of work, from one evaluation to a whole personalised image |

pub mod cost;
pub mod parts;

pub use cost::Cost;
pub use parts::{Bench, Part};

/// The vector instructions that the CPU's kernels use here.
pub fn vectors() -> String {
    format!("{:?}", dc_kernels::Level::best())
}
