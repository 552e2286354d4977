//! Products of matrices: the tile of registers that convolutions stand on too, and linear layers.

mod linear;
mod product;
mod tile;

pub use linear::linear;

pub(crate) use tile::{COLUMNS, Operand, ROWS, add_tile, add_tile_at};
