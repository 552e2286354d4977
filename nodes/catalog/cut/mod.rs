//! Cutting a subject out of a reasonably plain background, without any weights.
//!
//! The background is a smooth colour surface fitted to the picture's border ([`background`]); what is left of each pixel
//! after subtracting it goes into two colour mixtures, one for the subject and one for the background ([`mixture`]);
//! a minimum cut ([`min_cut`]) then finds the outline that follows edges, as GrabCut does (Rother, Kolmogorov and Blake
//! 2004); regions too small to be meant are dropped and holes filled ([`regions`]); a guided filter brings the outline
//! to the pixels of the picture ([`matte`]).

mod background;
pub(crate) mod foreground;
pub(crate) mod lab;
mod matte;
mod min_cut;
mod mixture;
mod regions;
#[cfg(test)]
pub(crate) mod scenes;
