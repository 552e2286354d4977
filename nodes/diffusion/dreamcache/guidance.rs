//! Guidance: how predictions with and without the prompt and the cache are combined. One batch a step.
//!
//! With T the prompt, C the cache and ∅ the negative prompt or no cache:
//!
//! ```text
//! joint        e = e(∅,∅) + s (e(T,C) - e(∅,∅))
//! combined     e = e(∅,∅) + s_I (e(∅,C) - e(∅,∅)) + s_T (e(T,C) - e(∅,C))
//! text first   e = e(∅,∅) + s_T (e(T,∅) - e(∅,∅)) + s_I (e(T,C) - e(T,∅))
//! ```
//!
//! Joint and combined are the paper's. The third, this project's, goes from nothing to both by way of the plain model,
//! which training has seen most, where the second goes by way of a cache without a prompt.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::dreamcache::conditioning::{Conditioning, Personalisation};
use crate::dreamcache::maps::AttentionMaps;
use crate::error::Error;
use crate::unet::UNet;
use crate::unet::transformer::{Backbone, BlockHook};

/// A rule and its scales. Without a cache all are classifier-free guidance, with `scale` or `text_scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Guidance {
    /// Prompt and cache together: two evaluations a step, or one at scale 1.
    Joint {
        /// 7.5 in the paper.
        scale: f64,
    },
    /// Prompt and cache weighed against each other: three evaluations a step.
    Combined {
        /// Higher keeps more of the subject, lower makes it easier to edit. 0.3 to 0.4 in the released scripts.
        image_scale: f64,
        /// 7.5 in the paper.
        text_scale: f64,
    },
    /// Prompt and cache weighed against each other, the prompt first: three evaluations a step.
    TextFirst {
        /// Higher keeps more of the subject.
        image_scale: f64,
        /// Higher follows the prompt more.
        text_scale: f64,
    },
}

impl Default for Guidance {
    fn default() -> Self {
        Self::Joint { scale: 7.5 }
    }
}

/// One evaluation of the denoiser within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The prompt, or else the negative one.
    pub text: bool,
    /// With the cache, or as if there were none.
    pub cached: bool,
}

impl Guidance {
    /// The evaluations that a step needs, those without the cache first.
    pub fn rows(self, cached: bool) -> Vec<Row> {
        let (nothing, both) = (Row { text: false, cached: false }, Row { text: true, cached });
        match self.with_cache(cached) {
            Self::Joint { scale: 1.0 } => vec![both],
            Self::Joint { .. } => vec![nothing, both],
            Self::Combined { .. } => vec![nothing, Row { text: false, cached }, both],
            Self::TextFirst { .. } => vec![nothing, Row { text: true, cached: false }, both],
        }
    }

    /// The guided prediction, from those of [`Self::rows`].
    ///
    /// # Shapes
    /// - outputs: of the same shape each
    ///
    /// # Errors
    /// When there are not as many outputs as rows.
    pub fn combine(self, cached: bool, outputs: Vec<Tensor<4>>) -> Result<Tensor<4>, Error> {
        let count = outputs.len();
        let mut outputs = outputs.into_iter();
        match (self.with_cache(cached), outputs.next(), outputs.next(), outputs.next()) {
            (Self::Joint { scale: 1.0 }, Some(both), None, None) => Ok(both),
            (Self::Joint { scale }, Some(nothing), Some(both), None) => Ok(nothing.clone() + (both - nothing) * scale),
            (Self::Combined { image_scale, text_scale }, Some(nothing), Some(image), Some(both)) => {
                Ok(nothing.clone() + (both - image.clone()) * text_scale + (image - nothing) * image_scale)
            }
            (Self::TextFirst { image_scale, text_scale }, Some(nothing), Some(text), Some(both)) => {
                Ok(nothing.clone() + (both - text.clone()) * image_scale + (text - nothing) * text_scale)
            }
            _ => Err(Error::Argument(format!("{self:?} does not combine {count} predictions"))),
        }
    }

    fn with_cache(self, cached: bool) -> Self {
        match self {
            Self::Combined { image_scale, text_scale } | Self::TextFirst { image_scale, text_scale }
                // The predictions in the middle cancel when the scales are equal.
                if !cached || image_scale == text_scale =>
            {
                Self::Joint { scale: text_scale }
            }
            other => other,
        }
    }
}

/// The denoiser under a prompt, a guidance rule and, where there is one, a subject: what a sampling loop calls.
///
/// # Shapes
/// - cond, uncond: `[1, context_tokens, context_dim]`, or one row an image
#[derive(Clone, Debug)]
pub struct Denoiser<'a> {
    /// The model.
    pub unet: &'a UNet,
    /// Context of the prompt.
    pub cond: Tensor<3>,
    /// Context of the negative prompt.
    pub uncond: Tensor<3>,
    /// How the predictions are combined.
    pub guidance: Guidance,
    /// Without it, or at strength 0, this is plain sampling.
    pub personalisation: Option<Personalisation<'a>>,
}

impl<'a> Denoiser<'a> {
    /// The guided model output at one step. With `cache_active` off, the step is that of plain sampling, to the last bit.
    /// `maps`, when given, notes where the prompted rows look.
    ///
    /// # Shapes
    /// - latents: `[images, 4, height, width]`, scaled for the model, in the number type to combine and answer in
    /// - output: as latents
    ///
    /// # Errors
    /// When latents and contexts do not fit each other or the model.
    pub fn predict(
        &self,
        latents: &Tensor<4>,
        timestep: f64,
        cache_active: bool,
        maps: Option<&mut AttentionMaps>,
    ) -> Result<Tensor<4>, Error> {
        let images = latents.dims()[0];
        let personalisation = self.active(cache_active);
        let rows = self.guidance.rows(personalisation.is_some());
        if self.cond.dims()[1..] != self.uncond.dims()[1..] {
            let (cond, uncond) = (self.cond.dims(), self.uncond.dims());
            return Err(Error::Argument(format!("contexts of the shapes {cond:?} and {uncond:?} make no batch")));
        }
        let contexts = (rows.iter())
            .map(|row| repeat(if row.text { &self.cond } else { &self.uncond }, images))
            .collect::<Result<Vec<_>, _>>()?;
        let context = Tensor::cat(contexts, 0).cast(self.unet.dtype());
        let timesteps = vec![timestep as f32; rows.len() * images];
        let outputs = self.evaluate(&rows, latents, personalisation, maps, |batch, hook| {
            self.unet.forward_with(batch, &timesteps, context, hook)
        })?;
        self.guidance.combine(personalisation.is_some(), outputs)
    }

    /// The subject at a step, if there is one that changes anything.
    pub(super) fn active(&self, cache_active: bool) -> Option<Personalisation<'a>> {
        self.personalisation.filter(|p| cache_active && p.strength != 0.0)
    }

    /// Evaluates the model by `run`, which gets a batch of these rows and the hook to use, and gives the predictions row
    /// by row.
    pub(super) fn evaluate(
        &self,
        rows: &[Row],
        latents: &Tensor<4>,
        personalisation: Option<Personalisation<'_>>,
        maps: Option<&mut AttentionMaps>,
        run: impl FnOnce(Tensor<4>, &mut dyn BlockHook) -> Result<Tensor<4>, Error>,
    ) -> Result<Vec<Tensor<4>>, Error> {
        let images = latents.dims()[0];
        let batch = Tensor::cat(vec![latents.clone(); rows.len()], 0).cast(self.unet.dtype());
        let output = match personalisation {
            None => run(batch, &mut Backbone)?,
            Some(personalisation) => {
                let first_row = rows.iter().take_while(|row| !row.cached).count() * images;
                let maps = maps.map(|maps| (maps, images));
                run(batch, &mut Conditioning { personalisation, first_row, maps })?
            }
        };
        // Guidance multiplies rounding errors, so predictions are combined in the latents' own number type.
        Ok(output.cast(latents.dtype()).chunk(rows.len(), 0))
    }
}

/// A context for each image.
pub(super) fn repeat(context: &Tensor<3>, images: usize) -> Result<Tensor<3>, Error> {
    let [rows, tokens, context_dim] = context.dims();
    match rows {
        _ if rows == images => Ok(context.clone()),
        1 => Ok(context.clone().expand([images, tokens, context_dim])),
        _ => Err(Error::Argument(format!("{images} images need 1 or {images} contexts, found {rows}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_close, device, values};

    #[test]
    fn rows_and_combinations() {
        let check = |guidance: Guidance, cached: bool, rows: usize, expected: f32| {
            // Predictions of 1 (nothing), 10 (cache), 40 (prompt), 100 (both, or the prompt where there is no cache).
            let predict = |row: &Row| match (row.text, row.cached) {
                (false, false) => 1.0,
                (false, true) => 10.0,
                (true, false) if cached => 40.0,
                (true, _) => 100.0,
            };
            let needed = guidance.rows(cached);
            assert_eq!(needed.len(), rows, "{guidance:?}");
            assert!(
                needed.iter().is_sorted_by_key(|row| row.cached),
                "{guidance:?}: rows without the cache come first"
            );
            assert!(needed.iter().all(|row| cached || !row.cached), "{guidance:?}");
            let outputs = needed.iter().map(|row| Tensor::full([1, 1, 1, 1], predict(row), &device())).collect();
            let guided = guidance.combine(cached, outputs).expect("as many as needed");
            check_close(&format!("{guidance:?}"), &values(&guided), &[expected], 1e-3);
        };
        check(Guidance::Joint { scale: 7.5 }, true, 2, 1.0 + 7.5 * 99.0);
        check(Guidance::Joint { scale: 7.5 }, false, 2, 1.0 + 7.5 * 99.0);
        check(Guidance::Joint { scale: 1.0 }, true, 1, 100.0);
        check(Guidance::Joint { scale: 0.0 }, true, 2, 1.0);
        let combined = |image_scale, text_scale| Guidance::Combined { image_scale, text_scale };
        check(combined(0.4, 7.5), true, 3, 1.0 + 0.4 * 9.0 + 7.5 * 90.0);
        check(combined(0.4, 7.5), false, 2, 1.0 + 7.5 * 99.0);
        check(combined(3.0, 3.0), true, 2, 1.0 + 3.0 * 99.0);
        check(combined(0.4, 1.0), false, 1, 100.0);
        assert!(combined(0.4, 7.5).combine(true, vec![]).is_err());
        let text_first = |image_scale, text_scale| Guidance::TextFirst { image_scale, text_scale };
        check(text_first(5.0, 4.0), true, 3, 1.0 + 4.0 * 39.0 + 5.0 * 60.0);
        check(text_first(5.0, 4.0), false, 2, 1.0 + 4.0 * 99.0);
        check(text_first(3.0, 3.0), true, 2, 1.0 + 3.0 * 99.0);
    }

    #[test]
    fn rules_read_and_write() {
        let check = |text: &str, guidance: Guidance| {
            assert_eq!(serde_json::from_str::<Guidance>(text).expect(text), guidance);
            assert_eq!(serde_json::to_string(&guidance).expect("serialisable"), text);
        };
        check(r#"{"rule":"joint","scale":7.5}"#, Guidance::default());
        let combined = Guidance::Combined { image_scale: 0.4, text_scale: 7.5 };
        check(r#"{"rule":"combined","image_scale":0.4,"text_scale":7.5}"#, combined);
    }
}
