//! Convolutions as products of matrices whose right operand, the windows of the input, is packed a few columns at a
//! time into the first cache and never written out (implicit GEMM).
//!
//! The input's gradient is again a convolution, of the output's gradient with turned weights; with a stride it is one
//! for each remainder of the position by the stride. The weights' gradient is a product over all positions.

mod geometry;
mod input_gradient;
mod kernel;
mod transform;
mod weight_gradient;
mod windows;
mod winograd;
mod winograd_gradient;

pub use kernel::conv2d;
