//! One integration binary: the program from outside, and the files that are generated from it.

mod diffusion;
mod diffusion_errors;
mod fresh;
mod interrupting;
mod parity_of_pipelines;
mod personalizing;
mod program;
mod running;
mod usage;
