//! Attention without a matrix of scores: softmax over blocks of keys as they come (Dao et al. 2022, Milakov and
//! Gimelshein 2018), forwards and backwards.

mod backward;
mod forward;
mod heads;
mod kernel;
mod tile;

#[cfg(feature = "gpu")]
pub(crate) use kernel::TILE;
pub use kernel::attention;
