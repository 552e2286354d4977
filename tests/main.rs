//! One integration binary: the program from outside, and the files that are generated from it.

mod fresh;
mod program;
mod running;
mod usage;
