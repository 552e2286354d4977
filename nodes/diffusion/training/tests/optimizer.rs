use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::resume::{config, schedule, start};
use super::shapes::Shapes;
use crate::training::pictures::{planes, tensor};
use crate::training::{AutoencoderTask, Habits, Kept, Parameters, Split, Task, Triplets, train};
use crate::vae::Vae;
use crate::weights::{Recipe, TensorSource, Weights};

/// Parameters find their names in a checkpoint, and tensors come out as they went in.
#[test]
fn names_and_layouts_are_found() {
    let config = crate::vae::VaeConfig { mid_block_add_attention: true, ..config() };
    let load = |w: &Weights| Vae::load(w, &config);
    let recipe = Arc::new(Recipe::new("names."));
    let model = load(&Weights::new(recipe.clone(), &Device::flex(), DType::F32)).unwrap();
    let parameters = Parameters::of(&model, load, |name| name.contains("norm")).unwrap();
    let tensors = parameters.tensors(Kept::Value);
    assert!(tensors.contains_key("encoder.mid_block.attentions.0.to_q.weight"));
    for (name, found) in &tensors {
        let expected = recipe.read(name, found.shape().as_slice()).unwrap();
        assert_eq!(found, &expected, "{name}");
    }
    assert!(parameters.0.iter().all(|p| p.frozen == p.name.contains("norm")));
    let copy = parameters.assign(model.clone(), Kept::Average, &Device::flex(), false);
    let z = Tensor::<4>::ones([1, 4, 4, 4], &Device::flex());
    let [a, b] = [&model, &copy].map(|m| m.decode(z.clone()).unwrap().into_data());
    assert_eq!(a, b);
}

#[test]
fn an_autoencoder_learns_and_its_latents_can_be_normalized() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let task = AutoencoderTask::new(Arc::new(Shapes), config(), &device, (8, 1, 1e-4)).unwrap();
    let (vae, mut parameters) = start();
    let before = task.measure(&vae).unwrap()["psnr_db"];
    let habits = Habits { checkpoint_every: 1000, keep: 1, show_every: 30, max_seconds: None };
    train(&task, vae.clone(), &mut parameters, &device, &schedule(60), &habits, (folder.path(), "t"), |_| Ok(()))
        .unwrap();
    let trained = parameters.assign(vae, Kept::Average, &device, false);
    let after = task.measure(&trained).unwrap()["psnr_db"];
    assert!(after > before + 3.0, "from {before:.1} to {after:.1} dB");

    let (config, tensors) = task.normalized(&trained, &parameters).unwrap();
    struct Tensors(std::collections::BTreeMap<String, TensorData>);
    impl TensorSource for Tensors {
        fn read(&self, name: &str, _shape: &[usize]) -> Result<TensorData, crate::Error> {
            Ok(self.0[name].clone())
        }
        fn names(&self) -> Vec<String> {
            self.0.keys().cloned().collect()
        }
        fn contains(&self, name: &str) -> bool {
            self.0.contains_key(name)
        }
        fn origin(&self) -> String {
            "normalized".into()
        }
    }
    let normalized = Vae::load(&Weights::new(Arc::new(Tensors(tensors)), &device, DType::F32), &config).unwrap();
    assert_eq!(config.scaling_factor, 1.0);
    // The same pictures come out.
    let same = task.measure(&normalized).unwrap()["psnr_db"];
    assert!((same - after).abs() < 1e-2, "{same} and {after}");
    // And what lies between is normal: on the pictures it was measured on, here all there are.
    let pictures: Vec<_> = (0..60).map(|i| Shapes.get(Split::Train, i).unwrap().target).collect();
    let pictures = tensor(planes(&pictures), Shapes.size(), &device);
    let mean = normalized.encode(pictures).unwrap().mean;
    let deviation = mean.clone().square().mean().into_scalar::<f32>().sqrt();
    assert!((0.7..1.4).contains(&deviation), "{deviation}");
}
