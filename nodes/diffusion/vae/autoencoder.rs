//! The autoencoder as a whole.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, Tensor};

use super::VaeConfig;
use super::decoder::Decoder;
use super::encoder::Encoder;
use super::tiling::{self, Tiling};
use crate::device::on_worker;
use crate::error::Error;
use crate::layers::conv2d;
use crate::weights::Weights;

/// Encodes pictures as latents and decodes latents to pictures.
///
/// Latents are unscaled on this side: [`scale`](Self::scale) makes of them what a denoiser works on,
/// [`unscale`](Self::unscale) takes that back.
#[derive(Module, Debug)]
pub struct Vae {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    #[module(skip)]
    config: VaeConfig,
}

/// What the encoder says of a picture's latents: a normal distribution for each.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// `[batch, latent_channels, height, width]`
    pub mean: Tensor<4>,
    /// Logarithm of the variance, within -30..=20; shaped like the mean.
    pub logvar: Tensor<4>,
}

impl Posterior {
    /// A draw from the distribution, by noise from the standard normal one.
    ///
    /// # Shapes
    /// - `noise` and output: `[batch, latent_channels, height, width]`
    pub fn sample(&self, noise: Tensor<4>) -> Tensor<4> {
        self.mean.clone() + (self.logvar.clone() * 0.5).exp() * noise.cast(self.mean.dtype())
    }
}

impl Vae {
    /// Reads the autoencoder from the names of diffusers, those of its attention before 0.15 included.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's, or a tensor is missing or has another shape.
    pub fn load(w: &Weights, config: &VaeConfig) -> Result<Self, Error> {
        config.validate()?;
        let latent = config.latent_channels;
        let pointwise = |name: &str, d: usize| conv2d(&w.at(name), d, d, 1, 1, 0);
        Ok(Self {
            encoder: Encoder::load(&w.at("encoder"), config)?,
            decoder: Decoder::load(&w.at("decoder"), config)?,
            quant_conv: config.use_quant_conv.then(|| pointwise("quant_conv", 2 * latent)).transpose()?,
            post_quant_conv: config.use_post_quant_conv.then(|| pointwise("post_quant_conv", latent)).transpose()?,
            config: config.clone(),
        })
    }

    /// The configuration that this model was built from.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The number type of the weights, in which all is computed and returned; inputs are cast to it.
    pub fn dtype(&self) -> DType {
        self.encoder.dtype()
    }

    /// Encodes pictures.
    ///
    /// # Shapes
    /// - `image`: `[batch, channels, height, width]` within -1..=1, height and width multiples of 8
    /// - output: `[batch, latent_channels, height / 8, width / 8]`, unscaled
    ///
    /// # Errors
    /// When the channels are others, or height or width is no multiple of [`VaeConfig::downscale`].
    pub fn encode(&self, image: Tensor<4>) -> Result<Posterior, Error> {
        let [_, channels, height, width] = image.dims();
        let (expected, step) = (self.config.in_channels, self.config.downscale());
        if channels != expected {
            return Err(Error::Argument(format!("pictures should have {expected} channels, found {channels}")));
        }
        if height == 0 || width == 0 || !height.is_multiple_of(step) || !width.is_multiple_of(step) {
            let message = format!("pictures should have sides that are multiples of {step}, found {width}x{height}");
            return Err(Error::Argument(message));
        }
        let moments = on_worker(&image.device(), || {
            let moments = self.encoder.forward(image.cast(self.dtype()));
            match &self.quant_conv {
                Some(conv) => dc_kernels::conv2d(conv, moments),
                None => moments,
            }
        });
        let [mean, logvar] = split(moments);
        Ok(Posterior { mean, logvar: logvar.clamp(-30.0, 20.0) })
    }

    /// Decodes latents.
    ///
    /// # Shapes
    /// - `latents`: `[batch, latent_channels, height, width]`, unscaled
    /// - output: `[batch, channels, height * 8, width * 8]`, about -1..=1, not clamped
    ///
    /// # Errors
    /// When the channels are others.
    pub fn decode(&self, latents: Tensor<4>) -> Result<Tensor<4>, Error> {
        self.check_latents(&latents)?;
        Ok(self.decode_unchecked(latents))
    }

    /// Decodes latents tile by tile, so that memory grows with a tile and not with the picture. The tiles overlap and
    /// fade into each other; norms and attention see one tile at a time, so the result differs a little from
    /// [`decode`](Self::decode), unless one tile covers all.
    ///
    /// # Shapes
    /// - `latents`: `[batch, latent_channels, height, width]`, unscaled
    /// - output: `[batch, channels, height * 8, width * 8]`, about -1..=1, not clamped
    ///
    /// # Errors
    /// When the channels are others, or a tile is not larger than the overlap.
    pub fn decode_tiled(&self, latents: Tensor<4>, tiling: Tiling) -> Result<Tensor<4>, Error> {
        self.check_latents(&latents)?;
        tiling.validate()?;
        Ok(tiling::map(latents, tiling, self.config.downscale(), |tile| self.decode_unchecked(tile)))
    }

    /// Unscaled latents as a denoiser takes them: times `scaling_factor`.
    ///
    /// # Shapes
    /// - `latents` and output: `[batch, latent_channels, height, width]`
    pub fn scale(&self, latents: Tensor<4>) -> Tensor<4> {
        latents * self.config.scaling_factor
    }

    /// A denoiser's latents as the decoder takes them: divided by `scaling_factor`.
    ///
    /// # Shapes
    /// - `latents` and output: `[batch, latent_channels, height, width]`
    pub fn unscale(&self, latents: Tensor<4>) -> Tensor<4> {
        latents / self.config.scaling_factor
    }

    fn check_latents(&self, latents: &Tensor<4>) -> Result<(), Error> {
        let ([_, channels, height, width], expected) = (latents.dims(), self.config.latent_channels);
        if channels != expected || height == 0 || width == 0 {
            let message = format!("latents should have {expected} channels, found {channels} of {width}x{height}");
            return Err(Error::Argument(message));
        }
        Ok(())
    }

    fn decode_unchecked(&self, latents: Tensor<4>) -> Tensor<4> {
        on_worker(&latents.device(), || {
            let latents = latents.cast(self.dtype());
            self.decoder.forward(match &self.post_quant_conv {
                Some(conv) => dc_kernels::conv2d(conv, latents),
                None => latents,
            })
        })
    }
}

/// The two halves of the channels.
fn split(x: Tensor<4>) -> [Tensor<4>; 2] {
    let half = x.dims()[1] / 2;
    [x.clone().narrow(1, 0, half), x.narrow(1, half, half)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::TensorData;

    use super::*;
    use crate::testing::{check_close, check_fixture, device, fixture, input, tolerance, values};
    use crate::weights::{Recipe, TensorSource};

    /// The generator's `vae_cfg`.
    fn config() -> VaeConfig {
        VaeConfig { block_out_channels: vec![32, 32, 64, 64], layers_per_block: 1, ..VaeConfig::default() }
    }

    fn model(source: impl TensorSource + 'static) -> Vae {
        Vae::load(&Weights::new(Arc::new(source), &device(), DType::F32), &config()).unwrap()
    }

    #[test]
    fn encodes_and_decodes_as_diffusers_does_sd15() {
        check_family("sd15");
    }

    #[test]
    fn encodes_and_decodes_as_diffusers_does_sd21() {
        check_family("sd21");
    }

    fn check_family(family: &str) {
        let vae = model(Recipe::new(&format!("{family}.vae.")));
        let name = |tensor: &str| format!("{family}.vae/{tensor}");
        let posterior = vae.encode(fixture(&name("img"))).unwrap();
        check_fixture(&name("mean"), &posterior.mean, tolerance(1e-5));
        check_fixture(&name("logvar"), &posterior.logvar, tolerance(1e-5));
        let z = fixture(&name("z"));
        check_fixture(&name("dec"), &vae.decode(z.clone()).unwrap(), tolerance(1e-5));
        check_fixture(&name("dec"), &vae.decode_tiled(z, Tiling::default()).unwrap(), tolerance(1e-5));
    }

    /// Sixteen bits lose three digits: fixtures are of pictures and moments about 1 in size.
    #[test]
    fn narrow_weights_take_wide_inputs() {
        for (dtype, tolerance) in [(DType::F16, 2e-2), (DType::BF16, 1e-1)] {
            let weights = Weights::new(Arc::new(Recipe::new("sd15.vae.")), &device(), dtype);
            let vae = Vae::load(&weights, &config()).unwrap();
            let posterior = vae.encode(fixture("sd15.vae/img")).unwrap();
            assert_eq!((vae.dtype(), posterior.mean.dtype()), (dtype, dtype));
            check_fixture("sd15.vae/mean", &posterior.mean, tolerance);
            check_fixture("sd15.vae/dec", &vae.decode(fixture("sd15.vae/z")).unwrap(), tolerance);
            assert_eq!(posterior.sample(input("noise", [1, 4, 4, 6], 1.0)).dtype(), dtype);
        }
    }

    #[test]
    fn tiles_make_a_picture_of_the_same_size() {
        let vae = model(Recipe::new("sd15.vae."));
        let z = input("tiled", [1, 4, 5, 7], 1.0);
        let tiled = vae.decode_tiled(z.clone(), Tiling { tile: 4, overlap: 2 }).unwrap();
        assert_eq!(tiled.dims(), [1, 3, 40, 56]);
        // The corner is of the first tile alone; the next ones begin 1 latent further down and 2 to the right.
        let corner = |x: Tensor<4>| values(&x.slice([0..1, 0..3, 0..8, 0..16]));
        let first = vae.decode(z.slice([0..1, 0..4, 0..4, 0..4])).unwrap();
        check_close("corner", &corner(tiled), &corner(first), tolerance(1e-6));
    }

    #[test]
    fn samples_follow_the_posterior() {
        let tensor = |v: [f32; 2]| Tensor::<4>::from_data(TensorData::new(v.to_vec(), [1, 2, 1, 1]), &device());
        let posterior = Posterior { mean: tensor([1.0, -2.0]), logvar: tensor([0.0, 4.0_f32.ln()]) };
        check_close("sample", &values(&posterior.sample(tensor([0.5, -1.0]))), &[1.5, -4.0], 1e-6);
    }

    #[test]
    fn scaling_is_undone() {
        let vae = model(Recipe::new("sd15.vae."));
        let z = input("scaled", [1, 4, 2, 2], 1.0);
        let expected: Vec<f32> = values(&z).iter().map(|v| v * 0.18215).collect();
        let scaled = vae.scale(z.clone());
        check_close("scale", &values(&scaled), &expected, 1e-6);
        check_close("unscale", &values(&vae.unscale(scaled)), &values(&z), 1e-6);
    }

    /// The recipe under the names that attention had before diffusers 0.15.
    struct OldNames(Recipe);

    impl TensorSource for OldNames {
        fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
            let renames = [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v.")];
            let new = renames.iter().fold(name.replace(".proj_attn.", ".to_out.0."), |n, (a, b)| n.replace(a, b));
            assert!(!name.contains(".to_"), "asked for {name}");
            self.0.read(&new, shape)
        }

        fn names(&self) -> Vec<String> {
            Vec::new()
        }

        fn contains(&self, name: &str) -> bool {
            !name.contains(".to_")
        }

        fn origin(&self) -> String {
            "old names".into()
        }
    }

    #[test]
    fn old_names_are_read() {
        let vae = model(OldNames(Recipe::new("sd15.vae.")));
        check_fixture("sd15.vae/dec", &vae.decode(fixture("sd15.vae/z")).unwrap(), tolerance(1e-5));
    }

    #[test]
    fn small_autoencoders_leave_parts_out() {
        let config = VaeConfig {
            mid_block_add_attention: false,
            use_quant_conv: false,
            use_post_quant_conv: false,
            block_out_channels: vec![32, 64],
            down_block_types: vec!["DownEncoderBlock2D".into(); 2],
            up_block_types: vec!["UpDecoderBlock2D".into(); 2],
            latent_channels: 8,
            ..config()
        };
        let weights = Weights::new(Arc::new(Recipe::new("small.")), &device(), DType::F32);
        let vae = Vae::load(&weights, &config).unwrap();
        let posterior = vae.encode(input("picture", [1, 3, 8, 6], 1.0)).unwrap();
        assert_eq!(posterior.mean.dims(), [1, 8, 4, 3]);
        assert_eq!(vae.decode(posterior.mean).unwrap().dims(), [1, 3, 8, 6]);
    }

    #[test]
    fn impossible_arguments_are_errors() {
        let vae = model(Recipe::new("sd15.vae."));
        let zeros = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device());
        for (shape, expected) in [
            ([1, 4, 8, 8], "3 channels, found 4"),
            ([1, 3, 12, 8], "multiples of 8, found 8x12"),
            ([1, 3, 8, 12], "multiples of 8, found 12x8"),
        ] {
            let message = vae.encode(zeros(shape)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
        assert!(vae.decode(zeros([1, 3, 4, 4])).is_err());
        assert!(vae.decode_tiled(zeros([1, 4, 4, 4]), Tiling { tile: 2, overlap: 2 }).is_err());
    }

    #[test]
    fn the_published_autoencoder_has_its_size() {
        let weights = Weights::new(Arc::new(Recipe::new("full.")), &device(), DType::F32);
        assert_eq!(Vae::load(&weights, &VaeConfig::default()).unwrap().num_params(), 83_653_863);
    }
}
