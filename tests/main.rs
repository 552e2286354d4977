//! One integration binary: the program from outside, and the files that are generated from it. The command line's own unit
//! tests run here too, so that the program is linked once.

mod benching;
#[allow(dead_code, unused_imports)]
#[path = "../host/cli/mod.rs"]
mod cli;
mod comparing;
mod diffusion;
mod diffusion_errors;
mod edits;
mod fresh;
mod hostile;
mod interrupting;
mod parity_of_pipelines;
mod personalizing;
mod planning;
mod plugin_examples;
mod plugins;
mod program;
mod proving;
mod reusing;
mod running;
mod stored;
mod sweeping;
mod tracing;
mod training;
mod usage;
mod watching;
