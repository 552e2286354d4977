//! Kernels for the operations in which diffusion models spend their time, behind Burn's tensors.
//!
//! Every public function takes and returns [`burn::tensor::Tensor`]s of any device and number type. Float32 on the CPU
//! goes through a kernel of this crate, values and gradients alike, and so do values in half precision, computed in
//! float32 (linear layers, convolutions and attention multiply bfloat16 as it is where the processor can:
//! [`Level::for_products_of`]).
//! On a GPU norms go through kernels of this crate, without gradients, and products in half precision through kernels of
//! Burn that are known beforehand. Everything else takes Burn's own operators.
//!
//! | room | what lives there |
//! | --- | --- |
//! | `operation` | how a kernel reaches Burn's tensors, with its gradient |
//! | `array` | tensors as slices, and slices as tensors |
//! | `simd` | what the processor has, chosen at run time; vectors; exp and erf with stated errors; bfloat16 to float32 and back |
//! | `elementwise` | functions of single values: SiLU, GELU and its quick approximation, GEGLU |
//! | `attention` | attention by blocks, and the small matrix products it is made of |
//! | `gemm` | larger matrix products, by a tile of registers; linear layers |
//! | `conv` | convolutions as products of matrices, and their gradients |
//! | `group_norm`, `layer_norm`, `softmax` | functions of rows |
//! | `gpu` | norms on a GPU; products, convolutions and attention of half precision there |
//!
//! # Invariants
//! - Results do not depend on the number of threads: work is split at fixed places, and sums are added in order.
//! - Kernels are generic over the width of vectors and safe; what a processor offers is detected, never assumed.

#![recursion_limit = "256"]

mod array;
mod attention;
mod conv;
mod elementwise;
mod gemm;
#[cfg(feature = "gpu")]
mod gpu;
mod group_norm;
mod layer_norm;
mod operation;
mod simd;
mod softmax;
#[cfg(test)]
mod testing;

pub use attention::attention;
pub use conv::conv2d;
pub use elementwise::{geglu, gelu, quick_gelu, silu};
pub use gemm::linear;
pub use group_norm::{group_norm, group_norm_silu};
pub use layer_norm::layer_norm;
pub use simd::Level;
pub use softmax::softmax;
