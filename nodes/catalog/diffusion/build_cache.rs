//! `Build Cache`.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use dc_diffusion::dreamcache::cache::CacheConfig;
use dc_diffusion::dreamcache::{CacheOrigin, ReferenceCache};
use dc_diffusion::random::TorchGenerator;
use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::encode_vae::{encode, latents_mode, seed};
use super::values::{Cache, LATENTS, Latents, MODEL, Model, REFERENCE_CACHE, input_error, node_error};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Build Cache",
        "diffusion",
        "Keeps what a reference picture looks like from inside the denoiser, in one pass almost without noise.",
    )
    .on_device()
    .input(InputSpec::required("model", MODEL, "Its autoencoder, text encoder and denoiser are used."))
    .input(InputSpec::optional(
        "images",
        PortType::Image.list(),
        "The subject on white, as `Segment Reference` gives it, at the model's native size. Several pictures of one subject are joined.",
    ))
    .input(InputSpec::optional("latents", LATENTS, "Encoded references in the place of `images`."))
    .input(InputSpec::optional("noise", LATENTS, "The noise, in the place of a seeded draw."))
    .input(
        InputSpec::with_default("timestep", 1_i64, "How noisy the reference is, 0 (least) to 999; 1 in the paper.")
            .range(0.0..=999.0),
    )
    .input(InputSpec::with_default("prompt", "", "The caching prompt; empty in the paper."))
    .input(InputSpec::with_default(
        "placement",
        "middle+decoder",
        "Which layers of the denoiser are cached: `encoder`, `middle`, `decoder` (the even-numbered attention layers there), single ones by their numbers from 0, joined by `+`. The adapters must sit there.",
    ))
    .input(latents_mode())
    .input(seed("Of the noise, and of the latents when `latents_mode` is `sample`."))
    .input(
        InputSpec::with_default("dtype", "f16", "What the features are rounded to, here and in files: `f16` (relative error 3e-5) or `f32`.")
            .choices(&["f16", "f32"]),
    )
    .output("cache", REFERENCE_CACHE, "The features in front of the cached transformers.")
    .output("num_values", PortType::Integer, "How many numbers it holds: 3,031,040 for Stable Diffusion at 512x512.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let base = &model.0;
    let seed = inputs.integer("seed")? as u64;
    let mode = inputs.text("latents_mode")?;
    let prompt = inputs.text("prompt")?;
    let config = CacheConfig {
        placement: inputs.text("placement")?.parse().map_err(input_error("placement"))?,
        timestep: inputs.integer("timestep")?.max(0) as usize,
    };
    config.placement.check(&base.unet_config).map_err(input_error("placement"))?;
    let mut generator = TorchGenerator::new(seed);

    let (port, references, images, mode) = match inputs.optional_native::<Latents>("latents")? {
        Some(_) if inputs.get("images").is_some() => {
            return Err(NodeError::input("latents", "`images` and `latents` are both connected").with_hint("drop one"));
        }
        Some(latents) => {
            let all = latents.0.clone().to_device(&base.device);
            let digest = tensor_digest(&all)?;
            ("latents", all.chunk(latents.0.dims()[0], 0), vec![digest], "given")
        }
        None => {
            let images = match inputs.get("images") {
                Some(_) => inputs.images("images")?,
                None => Vec::new(),
            };
            if images.is_empty() {
                return Err(NodeError::input("images", "no reference is connected")
                    .with_hint("connect a `Segment Reference` node"));
            }
            let latents = images.iter().map(|image| Ok(encode(&model, ("images", image), mode, &mut generator)?.0));
            let latents = latents.collect::<Result<Vec<_>, NodeError>>()?;
            ("images", latents, images.iter().map(|i| image_digest(i)).collect(), mode)
        }
    };
    let noise = inputs.optional_native::<Latents>("noise")?;
    let origin = CacheOrigin {
        model: base.digest.clone(),
        family: base.family,
        images,
        prompt: prompt.into(),
        seed,
        latents_mode: mode.into(),
        dtype: inputs.text("dtype")?.into(),
    };
    let kept = origin.dtype().map_err(input_error("dtype"))?;
    let text = base.text_encoder.forward(&[base.tokenizer.encode(prompt).ids]).map_err(node_error)?;
    let alphas = base.scheduler.alphas_cumprod().map_err(node_error)?;
    let mut caches = Vec::with_capacity(references.len());
    for (i, latents) in references.iter().enumerate() {
        context.check_cancelled()?;
        context.progress(i as u64, references.len() as u64);
        let noise = match &noise {
            Some(noise) if noise.0.dims() != latents.dims() => {
                let (expected, found) = (latents.dims(), noise.0.dims());
                return Err(NodeError::input("noise", format!("should have the shape {expected:?}, found {found:?}")));
            }
            Some(noise) => noise.0.clone().to_device(&base.device),
            None => generator.randn(latents.dims(), &base.device, DType::F32),
        };
        let cache = ReferenceCache::build(&base.unet, latents, &noise, &alphas, text.clone(), config);
        // Rounded here, so that a cache that was saved and loaded gives the very same pictures.
        caches.push(cache.map_err(input_error(port))?.cast(kept).cast(base.dtype));
    }
    context.progress(references.len() as u64, references.len() as u64);
    let cache = ReferenceCache::concat(&caches.iter().collect::<Vec<_>>()).map_err(node_error)?;
    let num_values = cache.num_values() as i64;
    Ok(Outputs::one("cache", Value::native(Cache::new(cache, origin))).with("num_values", num_values))
}

fn image_digest(image: &Image) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&image.width().to_le_bytes()).update(&image.height().to_le_bytes()).update(&[image.channels()]);
    image.to_f32().iter().for_each(|v| {
        hasher.update(&v.to_le_bytes());
    });
    hasher.finalize().to_string()
}

fn tensor_digest(tensor: &Tensor<4>) -> Result<String, NodeError> {
    let data = tensor.clone().into_data().convert::<f32>();
    let mut hasher = blake3::Hasher::new();
    tensor.dims().iter().for_each(|n| {
        hasher.update(&(*n as u64).to_le_bytes());
    });
    hasher.update(data.as_bytes());
    Ok(hasher.finalize().to_string())
}
