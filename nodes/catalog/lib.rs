//! The built-in nodes of dc-graph, one a file, grouped by the kind of thing they work on. No maths here: pixels are the
//! `image` crate's business, tensors are `dc_diffusion`'s.
