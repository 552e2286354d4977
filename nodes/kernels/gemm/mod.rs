//! Products of matrices: the tile of registers that convolutions stand on too, and linear layers.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod linear;
mod pack;
mod product;
mod share;
mod tile;
mod turn;

pub use linear::linear;

pub(crate) use pack::{Left, Matrix};
pub(crate) use share::{Costs, HEIGHT, Tasks};
pub(crate) use tile::{COLUMNS, HALF, Multiplier, Onto, Operand, Packing, ROWS, Target, height};
pub(crate) use turn::turned;
