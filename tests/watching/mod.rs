//! `dc-graph watch` from outside. Nothing here waits for a time: each step waits for what the program says.

mod browser;
mod graphs;
mod page;
mod plugins;
mod saving;
mod sitting;
