use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::shapes::Shapes;
use crate::error::Error;
use crate::training::{AutoencoderTask, Event, Habits, Initial, Kept, Optimizer, Parameters, Record, Schedule, train};
use crate::vae::{Vae, VaeConfig};
use crate::weights::Weights;

pub(super) fn config() -> VaeConfig {
    VaeConfig {
        latent_channels: 4,
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        scaling_factor: 1.0,
        down_block_types: vec!["DownEncoderBlock2D".into(); 2],
        up_block_types: vec!["UpDecoderBlock2D".into(); 2],
        mid_block_add_attention: false,
        ..VaeConfig::default()
    }
}

pub(super) fn load(w: &Weights) -> Result<Vae, Error> {
    Vae::load(w, &config())
}

pub(super) fn start() -> (Vae, Parameters) {
    let weights = Weights::new(Arc::new(Initial::autoencoder(3)), &Device::flex(), DType::F32);
    let vae = load(&weights).unwrap();
    let parameters = Parameters::of(&vae, load, |_| false).unwrap();
    (vae, parameters)
}

pub(super) fn schedule(steps: u64) -> Schedule {
    Schedule { steps, accumulate: 2, learning_rate: 3e-3, warmup_steps: 2, optimizer: Optimizer::default() }
}

const HABITS: Habits = Habits { checkpoint_every: 2, keep: 2, show_every: 0, max_seconds: None };

/// Runs in `folder` until after step `stop`, and gives the log and the parameters.
fn run(folder: &Path, steps: u64, stop: Option<u64>) -> Result<(Vec<Record>, Parameters), Error> {
    let task = AutoencoderTask::new(Arc::new(Shapes), config(), &Device::flex(), (4, 1, 1e-3))?;
    let (vae, mut parameters) = start();
    let mut log = Vec::new();
    let listen = |event: Event<'_>| {
        if let Event::Step { history, .. } = event {
            log = history.to_vec();
        }
        if stop == Some(log.len() as u64) { Err(Error::Cancelled) } else { Ok(()) }
    };
    let ended =
        train(&task, vae, &mut parameters, &Device::flex(), &schedule(steps), &HABITS, (folder, "test"), listen);
    assert_eq!(stop.is_some(), matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    if stop.is_none() {
        ended?;
    }
    Ok((log, parameters))
}

fn losses(log: &[Record]) -> Vec<(u64, u32, u32)> {
    log.iter().map(|r| (r.step, r.loss.to_bits(), r.gradient_norm.to_bits())).collect()
}

#[test]
fn an_interrupted_run_gives_the_bits_of_one_that_was_not() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (whole, expected) = run(folders[0].path(), 7, None).unwrap();
    assert_eq!(whole.len(), 7);
    // Stopped by its listener: saved at once.
    run(folders[1].path(), 7, Some(3)).unwrap();
    let (resumed, found) = run(folders[1].path(), 7, None).unwrap();
    assert_eq!(losses(&resumed), losses(&whole));
    let bits = |p: &Parameters, kept| format!("{:?}", p.tensors(kept));
    for kept in [Kept::Value, Kept::Average] {
        assert!(bits(&found, kept) == bits(&expected, kept), "{kept:?}");
    }
    // Killed: the state of step 4 is the last one, and the log goes on to step 5.
    run(folders[2].path(), 7, Some(5)).unwrap();
    std::fs::remove_file(folders[2].path().join("checkpoints/step-00000005.safetensors")).unwrap();
    let (resumed, _) = run(folders[2].path(), 7, None).unwrap();
    assert_eq!(losses(&resumed), losses(&whole));
    // Two states are kept, no half ones, and a finished run is not run again.
    let mut names: Vec<_> = std::fs::read_dir(folders[2].path().join("checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["step-00000006.safetensors", "step-00000007.safetensors"]);
    assert!(run(folders[2].path(), 7, None).unwrap().0.is_empty(), "no step was taken");
}

#[test]
fn a_run_goes_on_with_its_own_settings_only() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 4, Some(2)).unwrap();
    let task = AutoencoderTask::new(Arc::new(Shapes), config(), &Device::flex(), (4, 1, 1e-3)).unwrap();
    let (vae, mut parameters) = start();
    let other = (folder.path(), "another");
    let error = train(&task, vae, &mut parameters, &Device::flex(), &schedule(4), &HABITS, other, |_| Ok(()));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("belongs to another run"), "{message}");
}
