//! Training an autoencoder: squared and absolute error of the pictures, and a little Kullback-Leibler divergence so that
//! latents stay near a standard normal distribution (Rombach et al. 2022).

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::dataset::{Split, Triplets};
use super::draws::{below, chance, generator};
use super::parameters::{Kept, Parameters};
use super::pictures::{planes, tensor};
use super::run::Task;
use crate::error::Error;
use crate::vae::{Vae, VaeConfig};

/// How many held-out pictures are measured.
const MEASURED: usize = 64;
/// How many of them are shown.
const SHOWN: usize = 16;

/// What an autoencoder learns from.
pub struct AutoencoderTask {
    data: Arc<dyn Triplets>,
    config: VaeConfig,
    device: Device,
    batch_size: usize,
    seed: u64,
    kl_weight: f64,
    /// `[pictures, 3, height, width]`
    held_out: Tensor<4>,
}

/// A batch: pictures, and the noise that latents are drawn with.
pub struct Pictures {
    pictures: Vec<f32>,
    noise: Vec<f32>,
}

impl AutoencoderTask {
    /// Draws the held-out pictures (the first of the training ones where nothing is held out).
    ///
    /// # Errors
    /// When the data set is empty or its pictures do not fit the autoencoder.
    pub fn new(
        data: Arc<dyn Triplets>,
        config: VaeConfig,
        device: &Device,
        (batch_size, seed, kl_weight): (usize, u64, f64),
    ) -> Result<Self, Error> {
        config.validate()?;
        let ([height, width], step) = (data.size(), config.downscale());
        if !height.is_multiple_of(step) || !width.is_multiple_of(step) {
            return Err(Error::Argument(format!("sides of {width}x{height} pixels are no multiples of {step}")));
        }
        if data.is_empty(Split::Train) {
            return Err(Error::Argument("the data set has no triplets to train on".into()));
        }
        let split = if data.is_empty(Split::HeldOut) { Split::Train } else { Split::HeldOut };
        let triplets = (0..data.len(split).min(MEASURED)).map(|i| data.get(split, i)).collect::<Result<Vec<_>, _>>()?;
        // Every fourth is a reference, on white.
        let chosen = triplets.iter().enumerate().map(|(i, t)| if i % 4 == 3 { &t.reference } else { &t.target });
        let held_out = tensor(planes(chosen), data.size(), device);
        Ok(Self { data, config, device: device.clone(), batch_size, seed, kl_weight, held_out })
    }

    fn latent_len(&self) -> usize {
        let ([height, width], step) = (self.data.size(), self.config.downscale());
        self.config.latent_channels * (height / step) * (width / step)
    }

    /// Mean and standard deviation of each latent channel over pictures of the data set.
    fn moments(&self, vae: &Vae, pictures: usize) -> Result<Vec<[f64; 2]>, Error> {
        let channels = self.config.latent_channels;
        let mut sums = vec![[0.0_f64; 3]; channels];
        let mut batch = 0;
        let mut seen = 0;
        while seen < pictures {
            // Batches that no training draws.
            let drawn = self.draw(u64::MAX - batch)?;
            batch += 1;
            let images = tensor(drawn.pictures, self.data.size(), &self.device);
            seen += images.dims()[0];
            let mean = vae.encode(images)?.mean.into_data().convert::<f32>();
            let values = mean.as_slice::<f32>().map_err(|e| Error::Device(format!("{e:?}")))?;
            let plane = self.latent_len() / channels;
            for (i, plane) in values.chunks_exact(plane).enumerate() {
                let sum = &mut sums[i % channels];
                for value in plane.iter().map(|v| f64::from(*v)) {
                    *sum = [sum[0] + 1.0, sum[1] + value, sum[2] + value * value];
                }
            }
        }
        let moments = sums.iter().map(|[n, sum, squares]| {
            let mean = sum / n;
            [mean, (squares / n - mean * mean).max(1e-12).sqrt()]
        });
        Ok(moments.collect())
    }

    /// The trained autoencoder as tensors of a checkpoint, changed so that each latent channel has mean 0 and standard
    /// deviation 1 over the data set. The change is exact: it goes into the 1x1 convolutions on both sides of the
    /// latents, and the scaling factor becomes 1.
    ///
    /// # Errors
    /// When the autoencoder lacks these convolutions, and of the data set.
    pub fn normalized(
        &self,
        vae: &Vae,
        parameters: &Parameters,
    ) -> Result<(VaeConfig, BTreeMap<String, TensorData>), Error> {
        let moments = self.moments(vae, 512)?;
        let channels = self.config.latent_channels;
        let mut tensors = parameters.tensors(Kept::Average);
        let mut change = |name: &str, change: &dyn Fn(&mut Vec<f32>)| -> Result<Vec<f32>, Error> {
            let lacking = || Error::Argument(format!("the autoencoder has no `{name}`"));
            let data = tensors.get(name).ok_or_else(lacking)?;
            let shape = data.shape().clone();
            let mut values = data.try_to_vec::<f32>().map_err(|e| Error::Argument(format!("`{name}`: {e:?}")))?;
            let before = values.clone();
            change(&mut values);
            tensors.insert(name.into(), TensorData::new(values, shape));
            Ok(before)
        };
        // Rows of the first convolution: the means, then the logarithms of variances.
        change("quant_conv.weight", &|w| {
            for (row, [_, deviation]) in moments.iter().enumerate() {
                w[row * 2 * channels..][..2 * channels].iter_mut().for_each(|v| *v /= *deviation as f32);
            }
        })?;
        change("quant_conv.bias", &|b| {
            for (row, [mean, deviation]) in moments.iter().enumerate() {
                b[row] = ((f64::from(b[row]) - mean) / deviation) as f32;
                b[channels + row] -= (2.0 * deviation.ln()) as f32;
            }
        })?;
        let weight = change("post_quant_conv.weight", &|w| {
            for (i, v) in w.iter_mut().enumerate() {
                *v *= moments[i % channels][1] as f32;
            }
        })?;
        change("post_quant_conv.bias", &|b| {
            for (row, v) in b.iter_mut().enumerate() {
                let weights = &weight[row * channels..][..channels];
                *v += weights.iter().zip(&moments).map(|(w, [mean, _])| f64::from(*w) * mean).sum::<f64>() as f32;
            }
        })?;
        Ok((VaeConfig { scaling_factor: 1.0, ..self.config.clone() }, tensors))
    }
}

impl Task for AutoencoderTask {
    type Model = Vae;
    type Batch = Pictures;

    fn draw(&self, batch: u64) -> Result<Pictures, Error> {
        let mut generator = generator(self.seed, batch);
        let mut pictures = Vec::with_capacity(self.batch_size);
        for _ in 0..self.batch_size {
            let triplet = self.data.get(Split::Train, below(&mut generator, self.data.len(Split::Train)))?;
            pictures.push(if chance(&mut generator, 0.25) { triplet.reference } else { triplet.target });
        }
        let noise = generator.normal(self.batch_size * self.latent_len());
        Ok(Pictures { pictures: planes(&pictures), noise })
    }

    fn loss(&self, model: &Vae, batch: Pictures) -> Result<Tensor<1>, Error> {
        let pictures = tensor(batch.pictures, self.data.size(), &self.device);
        let posterior = model.encode(pictures.clone())?;
        let shape = posterior.mean.dims();
        let noise = Tensor::from_data(TensorData::new(batch.noise, shape), (&self.device, DType::F32));
        let error = model.decode(posterior.sample(noise))? - pictures;
        // Of a normal distribution from the standard one, each number of the latents.
        let divergence =
            (posterior.mean.square() + posterior.logvar.clone().exp() - posterior.logvar - 1.0).mean() * 0.5;
        Ok(error.clone().square().mean() + error.abs().mean() * 0.1 + divergence * self.kl_weight)
    }

    fn measure(&self, model: &Vae) -> Result<BTreeMap<String, f64>, Error> {
        let decoded = model.decode(model.encode(self.held_out.clone())?.mean)?.clamp(-1.0, 1.0);
        let error = (decoded - self.held_out.clone()).square().mean().into_scalar::<f32>();
        // The range of pictures is 2 here.
        let psnr = 10.0 * (4.0 / f64::from(error).max(1e-12)).log10();
        Ok([("psnr_db".to_string(), psnr)].into())
    }

    fn show(&self, model: &Vae) -> Result<Tensor<4>, Error> {
        let count = self.held_out.dims()[0].min(SHOWN);
        let shown = self.held_out.clone().narrow(0, 0, count);
        let decoded = model.decode(model.encode(shown.clone())?.mean)?;
        // Picture, reconstruction, picture, ..
        let pairs = (0..count).flat_map(|i| [shown.clone().narrow(0, i, 1), decoded.clone().narrow(0, i, 1)]);
        Ok(Tensor::cat(pairs.collect(), 0))
    }
}
