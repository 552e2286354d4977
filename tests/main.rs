//! One integration binary over graphs, execution and the command line.
