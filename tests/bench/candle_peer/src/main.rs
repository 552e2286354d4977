//! candle as a peer of `dc-graph bench`: see `diffusers_peer.py` for what a peer does.
//!
//! It reads a diffusers folder of SD 1.5's structure, in float32 on the CPU:
//!
//! ```sh
//! RUSTFLAGS="-C target-cpu=native" cargo build --release --manifest-path tests/bench/candle_peer/Cargo.toml
//! dc-graph model new-random sd15/ --kind sd15
//! dc-graph bench --device cpu --dtype f32 --model sd15/ --adapters random:sd15 \
//!     --peer "tests/bench/candle_peer/target/release/candle_peer --model sd15/"
//! ```
//!
//! What differs from our work: its GELU is the approximation by tanh, its matrix products use AVX2 even where there is
//! AVX-512, which its dependency `gemm` has as a feature that is off, `VAE encode` draws from the distribution, and an
//! image is drawn without a reference, as by the diffusers peer.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_transformers::models::stable_diffusion::clip::ClipTextTransformer;
use candle_transformers::models::stable_diffusion::unet_2d::UNet2DConditionModel;
use candle_transformers::models::stable_diffusion::vae::AutoEncoderKL;
use candle_transformers::models::stable_diffusion::{StableDiffusionConfig, build_clip_transformer};

const SCALE: f64 = 0.18215;

struct Peer {
    config: StableDiffusionConfig,
    text: ClipTextTransformer,
    vae: AutoEncoderKL,
    unet: UNet2DConditionModel,
    latents: Tensor,
    image: Tensor,
    context: Tensor,
    ids: Tensor,
    steps: usize,
}

impl Peer {
    fn load(folder: &Path, steps: usize) -> Result<Self> {
        let (cpu, f32) = (&Device::Cpu, DType::F32);
        let config = StableDiffusionConfig::v1_5(None, None, None);
        let file = |name: &str| folder.join(name);
        Ok(Self {
            text: build_clip_transformer(&config.clip, file("text_encoder/model.safetensors"), cpu, f32)?,
            vae: config.build_vae(file("vae/diffusion_pytorch_model.safetensors"), cpu, f32)?,
            unet: config.build_unet(file("unet/diffusion_pytorch_model.safetensors"), cpu, 4, false, f32)?,
            latents: Tensor::randn(0f32, 1f32, (1, 4, 64, 64), cpu)?,
            image: Tensor::randn(0f32, 1f32, (1, 3, 512, 512), cpu)?.clamp(-1f32, 1f32)?,
            context: Tensor::randn(0f32, 1f32, (1, 77, 768), cpu)?,
            ids: Tensor::rand(0f32, 49408f32, (1, 77), cpu)?.to_dtype(DType::U32)?,
            config,
            steps,
        })
    }

    fn parts(&self) -> [String; 7] {
        let image = format!("image, {} steps", self.steps);
        ["text encoder", "VAE encode", "VAE decode", "UNet", "step, joint, no cache", "cache build", &image]
            .map(String::from)
    }

    fn run(&self, part: &str) -> Result<Tensor> {
        match part {
            "text encoder" => self.text.forward(&self.ids),
            "VAE encode" => self.encode(),
            "VAE decode" => self.vae.decode(&self.latents),
            "UNet" => self.unet.forward(&self.latents, 501., &self.context),
            "step, joint, no cache" => self.unet.forward(&twice(&self.latents)?, 501., &twice(&self.context)?),
            "cache build" => self.unet.forward(&(self.encode()? * SCALE)?, 1., &self.context),
            _ => self.draw(),
        }
    }

    fn encode(&self) -> Result<Tensor> {
        // The mean is private, and drawing from the distribution costs nothing beside the encoder.
        self.vae.encode(&self.image)?.sample()
    }

    fn draw(&self) -> Result<Tensor> {
        let contexts = Tensor::cat(&[self.text.forward(&self.ids)?, self.text.forward(&self.ids)?], 0)?;
        let mut scheduler = self.config.build_scheduler(self.steps)?;
        let mut x = self.latents.randn_like(0., 1.)?;
        for t in scheduler.timesteps().to_vec() {
            let both = self.unet.forward(&twice(&x)?, t as f64, &contexts)?.chunk(2, 0)?;
            let guided = (&both[0] + ((&both[1] - &both[0])? * 7.5)?)?;
            x = scheduler.step(&guided, t, &x)?;
        }
        self.vae.decode(&(x / SCALE)?)
    }
}

fn twice(x: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[x, x], 0)
}

/// Milliseconds computed by all threads of this process so far, from Linux's scheduler.
fn processor_time() -> std::io::Result<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let statistics = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += statistics.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanoseconds / 1e6)
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut options = HashMap::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = if word == "--processor-time" { Some(String::new()) } else { words.next() };
        options.insert(word, value.ok_or("an option lacks its value")?);
    }
    let option = |name: &str, default: &str| options.get(name).cloned().unwrap_or(default.into());
    if option("--dtype", "f32") != "f32" {
        return Err("only f32".into());
    }
    // SAFETY: there are no other threads yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", option("--threads", "1")) };
    let peer = Peer::load(Path::new(&option("--model", "sd15")), option("--steps", "4").parse()?)?;
    let parts = peer.parts();
    if let Some(once) = options.get("--once") {
        peer.run(parts.iter().find(|part| part.contains(once)).ok_or("no such part")?)?;
        return Ok(());
    }
    println!("candle f32");
    for line in stdin().lock().lines() {
        let line = line?;
        let part = line.trim();
        if !parts.iter().any(|known| known == part) {
            println!("-");
            continue;
        }
        let began = Instant::now();
        let before = processor_time();
        peer.run(part)?;
        let passed = began.elapsed().as_secs_f64() * 1e3;
        println!("{}", if options.contains_key("--processor-time") { processor_time()? - before? } else { passed });
        stdout().flush()?;
    }
    Ok(())
}
