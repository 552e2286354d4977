use std::sync::Arc;

use burn::tensor::DType;

use super::small::Small;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::testing::check_close;
use crate::training::noising::Noised;
use crate::training::{
    DenoiserTask, Event, Habits, Initial, Noising, Optimizer, Parameters, Pool, Schedule, TextToLatents, train,
};
use crate::weights::Weights;

#[test]
fn a_denoiser_learns_one_triplet_by_heart() {
    let small = Small::new(1);
    let config = &small.base.unet_config;
    let load = |w: &Weights| TextToLatents::load(w, &small.text_config, config);
    let weights = Weights::new(Arc::new(Initial::denoiser(1)), &small.base.device, DType::F32);
    let model = load(&weights).unwrap();
    let mut parameters = Parameters::of(&model, load, |_| false).unwrap();
    let task = DenoiserTask {
        pool: &small.pool,
        held_out: &small.held_out,
        config,
        noising: Noising::new(&small.base.scheduler).unwrap(),
        scheduler: &small.base.scheduler,
        vae: &small.base.vae,
        tokenizer: &small.base.tokenizer,
        device: &small.base.device,
        batch_size: 8,
        seed: 1,
        caption_drop: 0.1,
    };
    let schedule =
        Schedule { steps: 120, accumulate: 1, learning_rate: 5e-3, warmup_steps: 10, optimizer: Optimizer::default() };
    let habits = Habits { checkpoint_every: 1000, keep: 1, show_every: 120, max_seconds: None };
    let folder = tempfile::tempdir().unwrap();
    let (mut losses, mut shown) = (Vec::new(), 0);
    train(&task, model, &mut parameters, &small.base.device, &schedule, &habits, (folder.path(), "t"), |event| {
        match event {
            Event::Step { history, .. } => losses.extend(history.last().map(|r| r.loss)),
            Event::Show { pictures, .. } => shown = pictures.dims()[0],
        }
        Ok(())
    })
    .unwrap();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..3]), mean(&losses[losses.len() - 10..]));
    assert!(last * 10.0 < first, "from {first} to {last}");
    assert_eq!(shown, 8);
}

#[test]
fn noise_and_targets_are_those_of_the_method() {
    for prediction_type in [PredictionType::Epsilon, PredictionType::VPrediction, PredictionType::Sample] {
        let noising = Noising::new(&SchedulerConfig::stable_diffusion(prediction_type)).unwrap();
        let mut batch = Noised::default();
        noising.add(&mut batch, &[1.0, -2.0], &[0.5, 0.25], 999);
        assert_eq!((batch.timesteps.as_slice(), noising.timesteps()), (&[999.0][..], 1000));
        // The product of all alphas of Stable Diffusion: 0.0046601.
        let (signal, rest) = (0.068_265, 0.997_667);
        check_close("noisy", &batch.noisy, &[signal + 0.5 * rest, -2.0 * signal + 0.25 * rest], 1e-5);
        let expected = match prediction_type {
            PredictionType::Epsilon => [0.5, 0.25],
            PredictionType::VPrediction => [signal * 0.5 - rest, signal * 0.25 + 2.0 * rest],
            PredictionType::Sample => [1.0, -2.0],
        };
        check_close("target", &batch.target, &expected, 1e-5);
    }
}

#[test]
fn pools_survive_the_disk() {
    let small = Small::new(5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool");
    small.pool.save(&path, "five").unwrap();
    let read = Pool::load(&path, "five").unwrap().unwrap();
    assert_eq!((read.len(), read.latent_len()), (5, 4 * 8 * 8));
    for entry in 0..5 {
        assert_eq!(read.tokens(entry), small.pool.tokens(entry));
        for picture in 0..2 {
            assert_eq!(read.latents(entry, picture), small.pool.latents(entry, picture));
        }
    }
    assert_ne!(read.latents(0, 0), read.latents(0, 1));
    assert!(Pool::load(&path, "six").unwrap().is_none(), "of another data set");
}
