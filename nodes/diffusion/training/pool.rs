//! Latents and tokens of a fixed part of a data set, made once before training: neither autoencoder nor tokenizer runs in
//! the loop.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::dataset::{Picture, Split, Triplet, Triplets};
use super::pictures::{planes, tensor};
use crate::checkpoint::{SafeTensors, write_safetensors};
use crate::error::Error;
use crate::text::Tokenizer;
use crate::vae::Vae;
use crate::weights::TensorSource;

/// Pictures that go through the autoencoder at once.
const BATCH: usize = 32;

/// What is kept of each triplet: some pictures' latents, in float16, and a caption's tokens.
pub struct Pool {
    /// `[entries, pictures, channels, height, width]`
    latents: Vec<f16>,
    tokens: Vec<u32>,
    /// Numbers in the latents of one picture.
    latent_len: usize,
    pictures: usize,
    /// Tokens of one caption.
    length: usize,
}

/// Where pictures, captions and latents come from.
pub struct Source<'a> {
    /// The data set.
    pub data: &'a dyn Triplets,
    /// Part of it.
    pub split: Split,
    /// The first so many triplets of the split.
    pub entries: usize,
    /// The autoencoder, in evaluation form.
    pub vae: &'a Vae,
    /// Where it is.
    pub device: &'a Device,
    /// Of the captions.
    pub tokenizer: &'a Tokenizer,
}

impl Pool {
    /// Draws the triplets, takes `pictures` pictures and a caption from each by `choose`, which gets the triplet and its
    /// index, and encodes them. `progress` hears how many are done, and may stop it.
    ///
    /// # Errors
    /// Of the data set, the model and `progress`.
    pub fn build(
        source: &Source<'_>,
        pictures: usize,
        choose: impl Fn(Triplet, usize) -> (Vec<Picture>, String) + Sync,
        mut progress: impl FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let entries = source.entries.min(source.data.len(source.split));
        let length = source.tokenizer.length();
        let mut pool = Self { latents: Vec::new(), tokens: Vec::new(), latent_len: 0, pictures, length };
        for start in (0..entries).step_by(BATCH) {
            progress(start, entries)?;
            let drawn = (start..entries.min(start + BATCH)).into_par_iter();
            let drawn = drawn.map(|i| Ok(choose(source.data.get(source.split, i)?, i)));
            let drawn = drawn.collect::<Result<Vec<_>, Error>>()?;
            let values = planes(drawn.iter().flat_map(|(pictures, _)| pictures));
            let mean = source.vae.encode(tensor(values, source.data.size(), source.device))?.mean;
            let latents = source.vae.scale(mean).into_data().convert::<f32>();
            let values = latents.as_slice::<f32>().map_err(|e| Error::Device(format!("{e:?}")))?;
            pool.latent_len = values.len() / (drawn.len() * pictures).max(1);
            let at = pool.latents.len();
            pool.latents.resize(at + values.len(), f16::ZERO);
            pool.latents[at..].convert_from_f32_slice(values);
            drawn.iter().for_each(|(_, caption)| pool.tokens.extend(source.tokenizer.encode(caption).ids));
        }
        Ok(pool)
    }

    /// Reads the pool that [`save`](Self::save) wrote, where there is one of this identity.
    ///
    /// # Errors
    /// When there is one and it is damaged.
    pub fn load(path: &Path, identity: &str) -> Result<Option<Self>, Error> {
        let [latents, tokens] = files(path);
        if !latents.exists() || !tokens.exists() {
            return Ok(None);
        }
        let [latents, tokens] = [SafeTensors::open(&latents)?, SafeTensors::open(&tokens)?];
        if [&latents, &tokens].iter().any(|file| file.metadata().get("pool").is_none_or(|found| found != identity)) {
            return Ok(None);
        }
        let read = |file: &SafeTensors, name: &str| {
            let shape = file.info(name).map(|info| info.shape).unwrap_or_default();
            Ok::<_, Error>((file.read(name, &shape)?, shape))
        };
        let ((latents, shape), (tokens, token_shape)) = (read(&latents, "latents")?, read(&tokens, "tokens")?);
        let ([entries, pictures, latent_len], [rows, length]) = (shape.as_slice(), token_shape.as_slice()) else {
            return Ok(None);
        };
        let fail = |e| Error::Argument(format!("{}: {e:?}", path.display()));
        let tokens: Vec<f32> = tokens.try_to_vec().map_err(fail)?;
        Ok((entries == rows).then_some(Self {
            latents: latents.try_to_vec().map_err(fail)?,
            tokens: tokens.into_iter().map(|id| id as u32).collect(),
            latent_len: *latent_len,
            pictures: *pictures,
            length: *length,
        }))
    }

    /// Writes the pool beside a run, so that going on with it does not begin with encoding everything again.
    ///
    /// # Errors
    /// Of the file system.
    pub fn save(&self, path: &Path, identity: &str) -> Result<(), Error> {
        let [latents, tokens] = files(path);
        let metadata = BTreeMap::from([("pool".to_string(), identity.to_string())]);
        let shape = vec![self.len(), self.pictures, self.latent_len];
        let shapes = BTreeMap::from([("latents".to_string(), shape.clone())]);
        write_safetensors(&latents, &metadata, DType::F16, &shapes, |_, _| {
            Ok(TensorData::new(self.latents.clone(), shape.clone()))
        })?;
        let shape = vec![self.len(), self.length];
        let shapes = BTreeMap::from([("tokens".to_string(), shape.clone())]);
        // As numbers that are exact in float32.
        let ids: Vec<f32> = self.tokens.iter().map(|id| *id as f32).collect();
        write_safetensors(&tokens, &metadata, DType::F32, &shapes, |_, _| {
            Ok(TensorData::new(ids.clone(), shape.clone()))
        })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.tokens.len() / self.length.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Numbers in the latents of one picture.
    pub fn latent_len(&self) -> usize {
        self.latent_len
    }

    /// The latents of a picture of an entry, scaled, as the denoiser has them: `[channels, height, width]`.
    pub fn latents(&self, entry: usize, picture: usize) -> Vec<f32> {
        let at = (entry * self.pictures + picture) * self.latent_len;
        let mut values = vec![0.0; self.latent_len];
        self.latents[at..at + self.latent_len].convert_to_f32_slice(&mut values);
        values
    }

    /// The tokens of an entry's caption.
    pub fn tokens(&self, entry: usize) -> &[u32] {
        &self.tokens[entry * self.length..][..self.length]
    }
}

fn files(path: &Path) -> [std::path::PathBuf; 2] {
    [path.with_extension("latents.safetensors"), path.with_extension("tokens.safetensors")]
}
