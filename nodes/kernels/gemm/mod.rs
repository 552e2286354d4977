//! Products of matrices: the tile of registers that convolutions stand on too, and linear layers.

mod linear;
mod pack;
mod product;
mod tile;

pub use linear::linear;

pub(crate) use pack::{Matrix, stripes};
pub(crate) use tile::{COLUMNS, HALF, Onto, Operand, ROWS, Target, height, tile, tile_at};
