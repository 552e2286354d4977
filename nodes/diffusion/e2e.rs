//! From token ids to a picture, all models together: a smoke test. The peaked attention of random weights amplifies
//! float32 noise to about 1e-2 in five guided steps, so the tolerance is wide; each model has its own strict tests.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use crate::random::TorchGenerator;
use crate::sampling::sample;
use crate::schedulers::{PredictionType, Sampler, Schedule, SchedulerConfig};
use crate::testing::{check_fixture, device, fixture_values, input};
use crate::text::{ClipTextConfig, ClipTextModel, HiddenAct};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Vae, VaeConfig};
use crate::weights::{Recipe, Weights};

/// As the generator's `{family}.e2e`.
fn check(family: &str, unet: &UNetConfig, hidden_act: HiddenAct, prediction_type: PredictionType) {
    let weights = |part: &str| Weights::new(Arc::new(Recipe::new(&format!("{family}.{part}."))), &device(), DType::F32);
    let d = unet.cross_attention_dim;
    let text = ClipTextConfig {
        vocab_size: 1000,
        hidden_size: d,
        intermediate_size: 2 * d,
        num_hidden_layers: 5,
        num_attention_heads: 4,
        max_position_embeddings: 77,
        hidden_act,
        layer_norm_eps: 1e-5,
        eos_token_id: 999,
    };
    let vae = VaeConfig { block_out_channels: vec![32, 32, 64, 64], layers_per_block: 1, ..VaeConfig::default() };
    let text = ClipTextModel::load(&weights("text"), &text).unwrap();
    let vae = Vae::load(&weights("vae"), &vae).unwrap();
    let unet = UNet::load(&weights("unet"), unet).unwrap();

    let (_, ids) = fixture_values(&format!("{family}.text/ids"));
    let [prompt, empty] = [0, 1].map(|row| ids[row * 77..][..77].iter().map(|&id| id as u32).collect::<Vec<_>>());
    let context = text.forward(&[empty, prompt]).unwrap();

    let scheduler = SchedulerConfig::stable_diffusion(prediction_type);
    let schedule = Schedule::new(&scheduler, Sampler::Ddim, 5, 0.0).unwrap();
    let (_, timesteps) = fixture_values(&format!("{family}.e2e/timesteps"));
    assert_eq!(schedule.timesteps(), timesteps.iter().map(|&t| f64::from(t)).collect::<Vec<_>>());
    let guided = |latents: Tensor<4>, timestep: f64, _: usize| {
        let both = unet.forward(latents.repeat_dim(0, 2), &[timestep as f32; 2], context.clone())?;
        let [uncond, cond] = [0, 1].map(|row| both.clone().narrow(0, row, 1));
        Ok(uncond.clone() + (cond - uncond) * 7.5)
    };
    let noise = input("noise", [1, 4, 8, 8], 1.7);
    let latents = sample(&schedule, noise, &mut TorchGenerator::new(0), guided, |_| Ok(())).unwrap();
    check_fixture(&format!("{family}.e2e/latent"), &latents, 5e-2);
    check_fixture(&format!("{family}.e2e/image"), &vae.decode(vae.unscale(latents)).unwrap(), 5e-2);
}

#[test]
fn a_picture_of_stable_diffusion_1() {
    check("sd15", &UNetConfig::sd15_tiny(), HiddenAct::QuickGelu, PredictionType::Epsilon);
}

#[test]
fn a_picture_of_stable_diffusion_2() {
    check("sd21", &UNetConfig::sd21_tiny(), HiddenAct::Gelu, PredictionType::VPrediction);
}
