//! Products of matrices: the tile of registers that convolutions stand on too, and linear layers.

mod linear;
mod pack;
mod product;
mod tile;

pub use linear::linear;

pub(crate) use pack::{Matrix, stripes, stripes_of_pairs};
pub(crate) use tile::{COLUMNS, HALF, Onto, Operand, ROWS, Target, height, tile, tile_at};
