//! A denoiser along a schedule: what does not change from step to step is computed once.
//!
//! Texts are projected to keys and values once, timesteps embedded once and for all steps together. That is exact. The
//! third evaluation of combined guidance can be shared between steps, which is not, and off by default.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::dreamcache::guidance::{Denoiser, Row, repeat};
use crate::dreamcache::maps::AttentionMaps;
use crate::error::Error;
use crate::unet::{TextContext, TimeOffsets};

/// A [`Denoiser`] at the timesteps of a schedule.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    denoiser: Denoiser<'a>,
    offsets: TimeOffsets,
    count: usize,
    /// The texts of a batch, and which rows it was made for.
    text: Option<(Vec<Row>, usize, TextContext)>,
    /// See [`Self::sharing`].
    every: usize,
    /// The step at which the cache alone was last looked at, and what it changed.
    image: Option<(usize, Tensor<4>)>,
}

impl<'a> Steps<'a> {
    /// Gets a denoiser ready for these timesteps.
    pub fn new(denoiser: Denoiser<'a>, timesteps: &[f64]) -> Self {
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let offsets = denoiser.unet.embed_times(&times);
        Self { denoiser, offsets, count: times.len(), text: None, every: 1, image: None }
    }

    /// Evaluates the denoiser with the cache and without the prompt, which combined guidance needs, in one of `every`
    /// steps only. What the cache alone changes in the prediction moves slowly along a schedule, so the steps between take
    /// that of the last one. 1 is exact.
    #[must_use]
    pub fn sharing(self, every: usize) -> Self {
        Self { every: every.max(1), ..self }
    }

    /// The guided model output at a step, as [`Denoiser::predict`] gives it.
    ///
    /// # Errors
    /// As there, and when there is no such step.
    pub fn predict(
        &mut self,
        latents: &Tensor<4>,
        step: usize,
        cache_active: bool,
        maps: Option<&mut AttentionMaps>,
    ) -> Result<Tensor<4>, Error> {
        if step >= self.count {
            return Err(Error::Argument(format!("there is no step {step} among {}", self.count)));
        }
        let images = latents.dims()[0];
        let personalisation = self.denoiser.active(cache_active);
        let cached = personalisation.is_some();
        let all = self.denoiser.guidance.rows(cached);
        let change = self.image.as_ref().filter(|(at, change)| {
            all.len() == 3 && (*at..at + self.every).contains(&step) && *at != step && change.dims() == latents.dims()
        });
        let change = change.map(|(_, change)| change.clone());
        let rows = match change {
            Some(_) => vec![all[0], all[2]],
            None => all,
        };
        self.project(&rows, images)?;
        let Some((_, _, text)) = &self.text else {
            return Err(Error::Argument("a step without a text".into()));
        };
        let times = self.offsets.of(step, rows.len() * images);
        let unet = self.denoiser.unet;
        let mut outputs = self.denoiser.evaluate(&rows, latents, personalisation, maps, |batch, hook| {
            unet.forward_prepared(batch, times, text, hook)
        })?;
        match change {
            Some(change) => outputs.insert(1, outputs[0].clone() + change),
            None if outputs.len() == 3 && self.every > 1 => {
                self.image = Some((step, outputs[1].clone() - outputs[0].clone()));
            }
            None => {}
        }
        self.denoiser.guidance.combine(cached, outputs)
    }

    /// Makes `text` that of these rows.
    fn project(&mut self, rows: &[Row], images: usize) -> Result<(), Error> {
        if self.text.as_ref().is_some_and(|(of, count, _)| of == rows && *count == images) {
            return Ok(());
        }
        let Denoiser { unet, cond, uncond, .. } = &self.denoiser;
        let mut projected = Vec::with_capacity(rows.len());
        for text in [true, false] {
            let context = repeat(if text { cond } else { uncond }, images)?.cast(unet.dtype());
            if rows.iter().any(|row| row.text == text) {
                projected.push((text, unet.project_text(&context)?));
            }
        }
        let of = |row: &Row| projected.iter().find(|(text, _)| *text == row.text).map(|(_, projected)| projected);
        let texts: Vec<_> = rows.iter().filter_map(of).collect();
        self.text = Some((rows.to_vec(), images, TextContext::concat(&texts)?));
        Ok(())
    }
}

/// The [`Steps`] of a batch that is evaluated some pictures at a time, where memory has no room for all at once. Up to
/// rounding it makes no difference.
#[derive(Clone, Debug)]
pub struct Portions<'a> {
    pub(super) portions: Vec<(Range<usize>, Steps<'a>)>,
}

impl<'a> Portions<'a> {
    /// Portions of at most `at_once` of `images` pictures, as equal as can be.
    ///
    /// # Errors
    /// When the contexts are of another number of pictures.
    pub fn new(steps: &Steps<'a>, images: usize, at_once: usize) -> Result<Self, Error> {
        let count = images.div_ceil(at_once.max(1)).max(1);
        let portion = |i: usize| {
            let range = i * images / count..(i + 1) * images / count;
            let of = |context: &Tensor<3>| Ok::<_, Error>(repeat(context, images)?.slice([range.clone()]));
            let denoiser = match count {
                1 => steps.denoiser.clone(),
                _ => Denoiser {
                    cond: of(&steps.denoiser.cond)?,
                    uncond: of(&steps.denoiser.uncond)?,
                    ..steps.denoiser.clone()
                },
            };
            Ok((range.clone(), Steps { denoiser, ..steps.clone() }))
        };
        Ok(Self { portions: (0..count).map(portion).collect::<Result<_, Error>>()? })
    }

    /// The guided model output at a step, as [`Steps::predict`] gives it.
    ///
    /// # Errors
    /// As there.
    pub fn predict(
        &mut self,
        latents: &Tensor<4>,
        step: usize,
        cache_active: bool,
        mut maps: Option<&mut AttentionMaps>,
    ) -> Result<Tensor<4>, Error> {
        let mut outputs = Vec::with_capacity(self.portions.len());
        for (range, steps) in &mut self.portions {
            let portion = latents.clone().slice([range.clone()]);
            outputs.push(steps.predict(&portion, step, cache_active, maps.as_deref_mut())?);
        }
        Ok(Tensor::cat(outputs, 0))
    }
}
