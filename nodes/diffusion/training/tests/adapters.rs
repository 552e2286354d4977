use burn::tensor::{DType, Tensor, TensorData};

use super::small::Small;
use crate::dreamcache::cache::CacheConfig;
use crate::dreamcache::conditioning::Conditioning;
use crate::dreamcache::{AdapterConfig, Adapters, Personalisation, ProjectedCache, ReferenceCache};
use crate::error::Error;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::testing::{check_close, device, fixture, fixture_names, fixture_values, input};
use crate::training::{
    AdaptersTask, Contexts, Event, Habits, Kept, Noising, Optimizer, Parameters, Schedule, Task, train,
};
use crate::unet::{UNet, UNetConfig};
use crate::weights::{Recipe, Weights};

fn recipe(prefix: &str) -> Weights {
    Weights::new(std::sync::Arc::new(Recipe::new(prefix)), &device(), DType::F32)
}

#[test]
fn gradients_and_steps_are_those_of_pytorch_sd15() {
    check_family("sd15");
}

#[test]
fn gradients_and_steps_are_those_of_pytorch_sd21() {
    check_family("sd21");
}

/// Three steps of AdamW from the recipe's adapters, as the generator of the fixtures takes them.
fn check_family(family: &str) {
    let structure = if family == "sd15" { UNetConfig::sd15_tiny() } else { UNetConfig::sd21_tiny() };
    let unet = UNet::load(&recipe(&format!("{family}.unet.")), &structure).unwrap();
    let contexts = fixture::<3>(&format!("{family}.text/last"));
    let [cond, uncond] = [0, 1].map(|row| contexts.clone().narrow(0, row, 1));
    let noisy = input("ref", [1, 4, 16, 16], 1.7);
    let cache = ReferenceCache::of_noisy(&unet, noisy, uncond, CacheConfig::default()).unwrap();
    let alphas = SchedulerConfig::stable_diffusion(PredictionType::Epsilon).alphas_cumprod().unwrap();
    let load = |w: &Weights| Adapters::load(w, &structure, AdapterConfig::default());
    for (rate, shown) in [(1e-5, "1e-05"), (1e-2, "0.01")] {
        let adapters = load(&recipe(&format!("{family}.adapter."))).unwrap();
        let mut parameters = Parameters::of(&adapters, load, |_| false).unwrap();
        let mut losses = Vec::new();
        for (step, timestep) in [501, 17, 900].into_iter().enumerate() {
            let model = parameters.assign(adapters.clone(), Kept::Value, &device(), true);
            let [x0, noise] = ["x0", "ep"].map(|name| input::<4>(&format!("{name}{step}"), [1, 4, 16, 16], 1.7));
            let alpha = alphas[timestep];
            let latents = x0 * alpha.sqrt() + noise.clone() * (1.0 - alpha).sqrt();
            let projected = ProjectedCache::new(&model, &cache).unwrap();
            let personalisation = Personalisation { adapters: &model, cache: &projected, folded: None, strength: 1.0 };
            let mut hook = Conditioning { personalisation, first_row: 0, maps: None };
            let predicted = unet.forward_with(latents, &[timestep as f32], cond.clone(), &mut hook).unwrap();
            let loss = (predicted - noise).square().mean();
            let gradients = loss.backward();
            losses.push(loss.into_scalar::<f32>());
            parameters.add_gradients(&model, gradients, 1.0).unwrap();
            if step == 0 && rate < 1e-3 {
                check_gradients(family, &parameters);
            }
            let adamw = Optimizer { max_gradient_norm: 0.0, ..Optimizer::default() };
            adamw.step(&mut parameters, step as u64 + 1, rate);
        }
        let name = |what: &str| format!("{family}.train/{what}");
        let (_, expected) = fixture_values(&name(&format!("losses_lr{shown}")));
        // At the high rate rounding grows with every step.
        let tolerance = if rate < 1e-3 { 1e-5 } else { 1e-3 };
        check_close("losses", &losses, &expected, tolerance);
        let tensors = parameters.tensors(Kept::Value);
        for fixture in fixture_names(&name(&format!("p_lr{shown}."))) {
            let own =
                fixture.rsplit_once(&format!("p_lr{shown}.")).unwrap().1.replace("mid.", "mid_block.attentions.0.");
            let found: Vec<f32> = tensors[&own].try_to_vec().unwrap();
            check_close(&fixture, &found, &fixture_values(&fixture).1, rate as f32 * 1e-2);
        }
    }
}

fn check_gradients(family: &str, parameters: &Parameters) {
    let mut checked = 0;
    for p in &parameters.0 {
        let norm = p.gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let (_, expected) = fixture_values(&format!("{family}.train/gnorm.{}", p.name));
        assert!((norm - expected[0]).abs() <= 1e-4 * expected[0], "{}: {norm}, expected {}", p.name, expected[0]);
        let fixture = format!("{family}.train/g.{}", p.name);
        if fixture_names(&fixture).is_empty() {
            continue;
        }
        let mut found = Tensor::<1>::from_data(TensorData::new(p.gradient.clone(), [p.gradient.len()]), &device());
        if p.transposed {
            found = found.reshape([p.shape[0], p.shape[1]]).transpose().reshape([-1]);
        }
        let expected = fixture_values(&fixture).1;
        let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        check_close(&fixture, &crate::testing::values(&found), &expected, 1e-4 * largest);
        checked += 1;
    }
    assert_eq!(checked, 22, "gradients that the fixtures hold");
}

impl Small {
    pub(super) fn adapters_task<'a>(&'a self, contexts: &'a Contexts, batch_size: usize) -> AdaptersTask<'a> {
        AdaptersTask {
            base: &self.base,
            pool: &self.pool,
            held_out: &self.held_out,
            contexts,
            noising: Noising::new(&self.base.scheduler).unwrap(),
            cache: CacheConfig::default(),
            batch_size,
            seed: 1,
            caption_drop: 0.1,
            caption_while_caching: false,
        }
    }

    pub(super) fn contexts(&self) -> Contexts {
        Contexts::new(&self.base, &[&self.pool, &self.held_out], |_, _| Ok(())).unwrap()
    }
}

#[test]
fn a_neutral_start_is_the_base_model_to_the_last_bit() {
    let small = Small::new(16);
    let contexts = small.contexts();
    let task = small.adapters_task(&contexts, 4);
    let adapters = Adapters::neutral(&small.base.unet, AdapterConfig::default());
    let loss = task.loss(&adapters, task.draw(3).unwrap()).unwrap();
    let plain = task.plain_loss(task.draw(3).unwrap()).unwrap();
    assert_eq!(loss.into_data(), plain.into_data());
    // And it is a start: there is something to learn from.
    let load = |w: &Weights| Adapters::load(w, &small.base.unet_config, AdapterConfig::default());
    let mut parameters = Parameters::of(&adapters, load, |_| false).unwrap();
    let training = parameters.assign(adapters, Kept::Value, &small.base.device, true);
    let gradients = task.loss(&training, task.draw(3).unwrap()).unwrap().backward();
    parameters.add_gradients(&training, gradients, 1.0).unwrap();
    let projection = parameters.0.iter().find(|p| p.name == "mid_block.attentions.0.proj.weight").unwrap();
    assert!(projection.gradient.iter().any(|g| *g != 0.0));
}

/// One batch, again and again.
struct Fixed<'a>(AdaptersTask<'a>);

impl<'a> Task for Fixed<'a> {
    type Model = Adapters;
    type Batch = <AdaptersTask<'a> as Task>::Batch;

    fn draw(&self, _batch: u64) -> Result<Self::Batch, Error> {
        self.0.draw(0)
    }

    fn loss(&self, model: &Adapters, batch: Self::Batch) -> Result<Tensor<1>, Error> {
        self.0.loss(model, batch)
    }

    fn measure(&self, model: &Adapters) -> Result<std::collections::BTreeMap<String, f64>, Error> {
        self.0.measure(model)
    }

    fn show(&self, model: &Adapters) -> Result<Tensor<4>, Error> {
        self.0.show(model)
    }
}

#[test]
fn adapters_learn_one_triplet_by_heart() {
    let small = Small::new(1);
    let contexts = small.contexts();
    let task = Fixed(small.adapters_task(&contexts, 1));
    let adapters = Adapters::neutral(&small.base.unet, AdapterConfig::default());
    let load = |w: &Weights| Adapters::load(w, &small.base.unet_config, AdapterConfig::default());
    let mut parameters = Parameters::of(&adapters, load, |name| name.contains(".norm.")).unwrap();
    let steps = 150;
    let schedule =
        Schedule { steps, accumulate: 1, learning_rate: 1e-2, warmup_steps: 5, optimizer: Optimizer::default() };
    let habits = Habits { checkpoint_every: 1000, keep: 1, show_every: 150, max_seconds: None };
    let folder = tempfile::tempdir().unwrap();
    let (mut losses, mut shown) = (Vec::new(), 0);
    train(&task, adapters, &mut parameters, &small.base.device, &schedule, &habits, (folder.path(), "t"), |event| {
        match event {
            Event::Step { history, .. } => losses.extend(history.last().map(|r| r.loss)),
            Event::Show { pictures, .. } => shown = pictures.dims()[0],
        }
        Ok(())
    })
    .unwrap();
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last * 10.0 < first, "from {first} to {last}");
    assert_eq!(shown, 16, "a reference and a picture for each held-out triplet");
    assert!(parameters.0.iter().all(|p| p.frozen == (p.name.contains(".norm."))));
}
