//! Folders that diffusers wrote and adapters that PyTorch wrote, where `DC_GRAPH_PARITY_DIR` names a folder of them:
//! `sd15/` and `sd21/`, each with `adapters.pt`, `adapters.safetensors` and `expected.safetensors`.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::checkpoint::{SafeTensors, load_adapters};
use crate::dreamcache::cache::CacheConfig;
use crate::dreamcache::{
    Denoiser, FoldedProjections, Guidance, Personalisation, ProjectedCache, ReferenceCache, Steps,
};
use crate::model::BaseModel;
use crate::random::TorchGenerator;
use crate::sampling::sample;
use crate::schedulers::{Sampler, Schedule};
use crate::weights::{TensorSource, Weights};

/// float32 noise of these pipelines is 1.5e-6.
const TOLERANCE: f64 = 1e-5;

#[test]
fn whole_pipelines_from_files() {
    let Ok(root) = std::env::var("DC_GRAPH_PARITY_DIR") else {
        eprintln!("skipped: DC_GRAPH_PARITY_DIR does not name a folder of pipelines");
        return;
    };
    for family in ["sd15", "sd21"] {
        check_pipeline(&Path::new(&root).join(family));
    }
}

struct Expected {
    what: String,
    file: Arc<SafeTensors>,
    device: Device,
}

impl Expected {
    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape: [usize; D] = self.file.info(name).unwrap().shape.try_into().unwrap();
        Weights::new(self.file.clone(), &self.device, DType::F32).tensor(name, shape).unwrap()
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        let data: TensorData = self.file.read(name, &self.file.info(name).unwrap().shape).unwrap();
        data.iter::<i64>().collect()
    }

    /// The relative norm of the difference.
    fn check<const D: usize>(&self, name: &str, found: Tensor<D>) {
        let relative = self.distance(name, found);
        eprintln!("{} {name}: {relative:.1e}", self.what);
        assert!(relative < TOLERANCE, "{} {name}: {relative:e}", self.what);
    }

    fn distance<const D: usize>(&self, name: &str, found: Tensor<D>) -> f64 {
        let expected = self.tensor::<D>(name);
        assert_eq!(found.dims(), expected.dims(), "{} {name}", self.what);
        let values = |tensor: Tensor<D>| tensor.into_data().try_to_vec::<f32>().unwrap();
        let (found, expected) = (values(found), values(expected));
        let square = |x: f64| x * x;
        let difference: f64 = found.iter().zip(&expected).map(|(a, b)| square(f64::from(a - b))).sum();
        let norm: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
        (difference / norm).sqrt()
    }
}

fn check_pipeline(root: &Path) {
    let device = Device::flex();
    let path = |name: &str| root.join(name).to_str().unwrap().to_string();
    let model = BaseModel::load(root.to_str().unwrap(), &device, DType::F32, None).unwrap();
    let file = Arc::new(SafeTensors::open(Path::new(&path("expected.safetensors"))).unwrap());
    let what = root.file_name().unwrap().to_string_lossy().into_owned();
    let expected = Expected { what, file, device: device.clone() };

    let ids: Vec<u32> = expected.integers("text.input_ids").iter().map(|id| u32::try_from(*id).unwrap()).collect();
    let ids: Vec<_> = ids.chunks(77).map(<[u32]>::to_vec).collect();
    // Only to the end token: the fixtures of both families pad as 1.x does.
    assert_eq!(model.tokenizer.encode("").ids[..2], ids[1][..2], "the empty prompt");
    let context = model.text_encoder.forward(&ids).unwrap();
    expected.check("text.context", context.clone());
    let [cond, uncond] = [0, 1].map(|row| context.clone().narrow(0, row, 1));

    let posterior = model.vae.encode(expected.tensor("vae.image")).unwrap();
    expected.check("cache.reference_latents", model.vae.scale(posterior.mean.clone()));
    expected.check("vae.mean", posterior.mean);
    expected.check("vae.logvar", posterior.logvar);

    let alphas = model.scheduler.alphas_cumprod().unwrap();
    let (latents, noise) = (expected.tensor("cache.reference_latents"), expected.tensor("cache.noise"));
    let config = CacheConfig::default();
    let cache = ReferenceCache::build(&model.unet, &latents, &noise, &alphas, uncond.clone(), config).unwrap();
    for (point, features) in cache.points().iter().zip(cache.features()) {
        expected.check(&format!("cache.features.{}", point.name), features.clone());
    }

    let start: Tensor<4> = expected.tensor("unet.sample");
    let timestep = expected.integers("unet.timestep")[0] as f64;
    expected.check("unet.eps_plain", model.unet.forward(start.clone(), &[timestep as f32], cond.clone()).unwrap());
    let schedule = Schedule::new(&model.scheduler, Sampler::Ddim, 10, 0.0).unwrap();
    let timesteps: Vec<_> = expected.integers("sample.timesteps").iter().map(|t| *t as f64).collect();
    assert_eq!(schedule.timesteps(), timesteps);
    for adapters in ["adapters.pt", "adapters.safetensors"] {
        let adapters = load_adapters(&path(adapters), model.unet.config(), model.family, &device, DType::F32).unwrap();
        let cache = ProjectedCache::new(&adapters, &cache).unwrap();
        let denoiser = |guidance| Denoiser {
            unet: &model.unet,
            cond: cond.clone(),
            uncond: uncond.clone(),
            guidance,
            personalisation: Some(Personalisation { adapters: &adapters, cache: &cache, folded: None, strength: 1.0 }),
        };
        let eps = denoiser(Guidance::Joint { scale: 1.0 }).predict(&start, timestep, true, None).unwrap();
        expected.check("unet.eps_cached", eps);
        let joint = Guidance::Joint { scale: 7.5 };
        let combined = Guidance::Combined { image_scale: 0.4, text_scale: 7.5 };
        for (name, guidance) in [("joint", joint), ("combined", combined)] {
            let denoiser = denoiser(guidance);
            let mut generator = TorchGenerator::new(0);
            let predict = |x, t: f64, _: usize| denoiser.predict(&x, t, true, None);
            let latents = sample(&schedule, start.clone(), &mut generator, predict, |_| Ok(())).unwrap();
            expected.check(&format!("sample.{name}.latents"), latents.clone());
        }
        let folded = FoldedProjections::new(&adapters, &model.unet);
        let walk = |guidance: Guidance, every: usize| {
            let mut denoiser = denoiser(guidance);
            denoiser.personalisation = denoiser.personalisation.map(|p| Personalisation { folded: Some(&folded), ..p });
            let mut steps = Steps::new(denoiser, &timesteps).sharing(every);
            let predict = |x, _, step: usize| steps.predict(&x, step, true, None);
            sample(&schedule, start.clone(), &mut TorchGenerator::new(0), predict, |_| Ok(())).unwrap()
        };
        // What is computed once, and folded, changes nothing.
        expected.check("sample.joint.latents", walk(joint, 1));
        expected.check("sample.combined.latents", walk(combined, 1));
        // What steps share does, the more the fewer there are: here a tenth of the usual steps.
        let mut before = 0.0;
        for every in [2, 4] {
            let away = expected.distance("sample.combined.latents", walk(combined, every));
            eprintln!("{} combined, the cache alone in one of {every} steps: {away:.1e}", expected.what);
            assert!(away > before && away < 0.2, "{} shared by {every}: {away:e}", expected.what);
            before = away;
        }
    }
    let latents = model.vae.unscale(expected.tensor("sample.combined.latents"));
    expected.check("vae.decoded", model.vae.decode(latents).unwrap());
}
