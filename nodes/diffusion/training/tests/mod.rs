//! What training promises: exactness, resumption, and that it learns.

mod adapters;
mod denoiser;
mod optimizer;
mod resume;
mod shapes;
mod small;
