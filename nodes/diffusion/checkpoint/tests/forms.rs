//! One model in every form that a checkpoint comes in.

use std::fs;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::writing::{compvis_tensors, write_ckpt, write_f32};
use crate::checkpoint::{Checkpoint, Kind, Random, files, inspect, open};
use crate::model::BaseModel;
use crate::text::ClipTextModel;
use crate::unet::UNet;
use crate::vae::Vae;
use crate::weights::uniform;

/// A random model with the numbers of heads that single files imply, whose widths are too small to tell.
fn random(random: Random) -> Checkpoint {
    let mut checkpoint = random.checkpoint();
    checkpoint.text.config.num_attention_heads = 1;
    if random == Random::Sd21Tiny {
        checkpoint.unet.config.attention_head_dim = vec![1; 4];
    }
    checkpoint
}

fn assert_same_tensors(found: &Checkpoint, expected: &Checkpoint) {
    let shapes = [
        expected.unet.shapes(UNet::load).unwrap(),
        expected.vae.shapes(Vae::load).unwrap(),
        expected.text.shapes(ClipTextModel::load).unwrap(),
    ];
    let sources = [
        (&found.unet.source, &expected.unet.source),
        (&found.vae.source, &expected.vae.source),
        (&found.text.source, &expected.text.source),
    ];
    for (shapes, (found, expected)) in shapes.iter().zip(sources) {
        for (name, shape) in shapes {
            let stored = if found.contains(name) { name.clone() } else { format!("text_model.{name}") };
            let found = found.read(&stored, shape).unwrap();
            assert_eq!(found.as_bytes(), expected.read(name, shape).unwrap().as_bytes(), "{name}");
        }
    }
}

/// A context, a prediction, latents and a picture: something of every part of the model.
fn outputs(checkpoint: &Checkpoint) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let model = BaseModel::from_checkpoint(checkpoint, &device, DType::F32).unwrap();
    let input = |name: &str, shape: [usize; 4]| {
        let values: Vec<f32> = uniform(name, shape.iter().product()).collect();
        Tensor::<4>::from_data(TensorData::new(values, shape), &device)
    };
    let context = model.text_encoder.forward(&[model.tokenizer.encode("a red fox").ids]).unwrap();
    let eps = model.unet.forward(input("latents", [1, 4, 8, 8]), &[500.0], context.clone()).unwrap();
    let latents = model.vae.encode(input("image", [1, 3, 64, 64])).unwrap().mean;
    let image = model.vae.decode(latents.clone()).unwrap();
    let values = |data: TensorData| data.try_to_vec::<f32>().unwrap();
    vec![values(context.into_data()), values(eps.into_data()), values(latents.into_data()), values(image.into_data())]
}

#[test]
fn a_single_file_is_the_folder_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, notes) in [(Random::Sd15Tiny, 0), (Random::Sd21Tiny, 1)] {
        let mut expected = random(kind);
        // A single file does not say for which size it was trained; it is taken for 512.
        expected.unet.config.sample_size = 64;
        let tensors = compvis_tensors(&expected);
        let paths = ["safetensors", "ckpt"].map(|extension| folder.path().join(format!("{}.{extension}", kind.name())));
        write_f32(&paths[0], &tensors);
        write_ckpt(&paths[1], &tensors);
        for path in &paths {
            let path = path.to_str().unwrap();
            let found = open(path, None).unwrap();
            assert_eq!((found.kind, found.family, found.notes.len()), (Kind::CompvisFile, expected.family, notes));
            assert_eq!(found.unet.config, expected.unet.config);
            assert_eq!(found.vae.config, expected.vae.config);
            assert_eq!(found.text.config, expected.text.config);
            let unused = if notes == 0 { 5 } else { 18 };
            assert_eq!(found.unused.len(), unused, "{:?}", found.unused);
            assert_same_tensors(&found, &expected);
            assert_eq!(outputs(&found), outputs(&expected), "{path}");
        }
    }
}

#[test]
fn a_written_folder_is_the_model_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    for random in [Random::Sd15Tiny, Random::Sd21Tiny] {
        let expected = random.checkpoint();
        let root = folder.path().join(random.name());
        random.write(&root, DType::F32).unwrap();
        let path = root.to_str().unwrap();
        let found = open(path, None).unwrap();
        assert_eq!(found.unet.config, expected.unet.config);
        assert_eq!(found.vae.config, expected.vae.config);
        assert_eq!(found.text.config, expected.text.config);
        assert_eq!(found.scheduler, expected.scheduler);
        assert_same_tensors(&found, &expected);
        assert_eq!(outputs(&found), outputs(&expected));
        assert_eq!(files(path).unwrap().len(), 9);

        // Written twice, the same; one byte changed, another model.
        let again = folder.path().join("again");
        random.write(&again, DType::F32).unwrap();
        let digest = || open(again.to_str().unwrap(), None).unwrap().digest().unwrap();
        assert_eq!(digest(), found.digest().unwrap());
        let weights = again.join("unet/diffusion_pytorch_model.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        assert_ne!(digest(), found.digest().unwrap());
        fs::remove_dir_all(again).unwrap();

        let error = random.write(&root, DType::F32).unwrap_err().to_string();
        assert!(error.contains("exists and is not an empty folder"), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("part")), "{left:?}");
    }
}

#[test]
fn half_precision_and_shards_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("model");
    Random::Sd15Tiny.write(&root, DType::F16).unwrap();
    let expected = outputs(&open(root.to_str().unwrap(), None).unwrap());

    // The same weights as `fp16` variant, as two shards, and as PyTorch files.
    let unet = root.join("unet");
    let single = unet.join("diffusion_pytorch_model.safetensors");
    let source = crate::checkpoint::SafeTensors::open(&single).unwrap();
    write_shards(&unet, Arc::new(source));
    fs::remove_file(single).unwrap();
    let vae = root.join("vae");
    let variant = vae.join("diffusion_pytorch_model.fp16.safetensors");
    fs::rename(vae.join("diffusion_pytorch_model.safetensors"), variant).unwrap();
    let checkpoint = open(root.to_str().unwrap(), None).unwrap();
    assert_eq!(checkpoint.files.len(), 11);
    assert_eq!(outputs(&checkpoint), expected);

    let report = inspect(root.to_str().unwrap()).unwrap();
    let unet = &report.components["unet"];
    assert_eq!(unet.account.parameters as usize, checkpoint.unet.config.num_params());
    assert_eq!(unet.dtypes.keys().collect::<Vec<_>>(), ["f16"]);
    assert!(unet.account.missing.is_empty() && unet.account.unknown.is_empty());
    assert_eq!(report.native_size, Some(128));
}

fn write_shards(folder: &std::path::Path, source: Arc<dyn crate::weights::TensorSource>) {
    use crate::checkpoint::write_safetensors;
    let mut map = serde_json::Map::new();
    let names = source.names();
    for (i, half) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("diffusion_pytorch_model-0000{}-of-00002.safetensors", i + 1);
        let shapes = half.iter().map(|name| (name.clone(), source.info(name).unwrap().shape)).collect();
        let path = folder.join(&file);
        write_safetensors(&path, &Default::default(), DType::F16, &shapes, |name, shape| source.read(name, shape))
            .unwrap();
        map.extend(half.iter().map(|name| (name.clone(), file.clone().into())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(folder.join("diffusion_pytorch_model.safetensors.index.json"), index.to_string()).unwrap();
}
