//! Vectors of whatever width the processor has.

mod exp;
mod half;
mod level;
mod map;
mod reduce;
mod values;
mod vector;

pub use level::Level;

pub(crate) use exp::{erf, exp, exp2};
pub(crate) use half::{Number, rounded, widened_halves};
pub(crate) use map::{Map, map};
pub(crate) use reduce::{dot, max, sum, sum_of_squares};
pub(crate) use values::{Singles, Values, WithValues};
pub(crate) use vector::{F32s, lanes};
