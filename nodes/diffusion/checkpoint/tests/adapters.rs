//! Adapters, as released and as written here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{DType, Device};

use super::writing::{Tensors, write_ckpt, write_f32};
use crate::checkpoint::{Family, Kind, Random, inspect, load_adapters, save_adapters, write_safetensors};
use crate::dreamcache::{AdapterConfig, Adapters, Variant};
use crate::error::Error;
use crate::unet::UNetConfig;

fn unet() -> UNetConfig {
    Random::Sd15Tiny.checkpoint().unet.config
}

fn load(path: &Path) -> Result<Adapters, Error> {
    load_adapters(path.to_str().unwrap(), &unet(), Family::Sd1, &Device::flex(), DType::F32)
}

fn tensors(adapters: &Adapters) -> Tensors {
    let named = adapters.named_tensors().into_iter();
    named.map(|(name, data)| (name, (data.shape().to_vec(), data.try_to_vec().unwrap()))).collect()
}

#[test]
fn every_form_is_the_same_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = load(Path::new("random:sd15-tiny")).unwrap();
    let expected = tensors(&made);
    assert_eq!(expected.len(), 45);
    assert!(expected.contains_key("diffusion_model.output_blocks.8.1.transformer_blocks.0.attn_mem.to_out.0.bias"));

    write_ckpt(&path("released.pt"), &expected);
    write_f32(&path("released.safetensors"), &expected);
    save_adapters(&path("own.safetensors"), &made, Family::Sd1, DType::F32).unwrap();
    for name in ["released.pt", "released.safetensors", "own.safetensors"] {
        let found = load(&path(name)).unwrap();
        assert_eq!((found.config(), tensors(&found)), (made.config(), expected.clone()), "{name}");
        let report = inspect(path(name).to_str().unwrap()).unwrap();
        assert_eq!(report.kind, Kind::Adapters, "{name}");
        assert_eq!(report.components["tensors"].account.parameters as usize, made.config().num_params(&unet()));
    }
    assert_eq!(inspect(path("own.safetensors").to_str().unwrap()).unwrap().family, Some(Family::Sd1));

    save_adapters(&path("again.safetensors"), &made, Family::Sd1, DType::F32).unwrap();
    assert_eq!(fs::read(path("again.safetensors")).unwrap(), fs::read(path("own.safetensors")).unwrap());
}

#[test]
fn variants_and_placements_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapters.safetensors");
    let model = Random::Sd15Tiny.checkpoint().unet.load(crate::unet::UNet::load, &Device::flex(), DType::F32).unwrap();
    for variant in [Variant::SpatialConcat, Variant::SpatialSum, Variant::TextualSum, Variant::DecoupledBlocks] {
        let config = AdapterConfig { variant, placement: "encoder+middle".parse().unwrap() };
        let made = Adapters::neutral(&model, config);
        save_adapters(&path, &made, Family::Sd1, DType::F32).unwrap();
        let found = load(&path).unwrap();
        assert_eq!((found.config(), tensors(&found)), (config, tensors(&made)));
    }
}

#[test]
fn adapters_that_do_not_belong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapters.safetensors");
    let good = tensors(&load(Path::new("random:sd15-tiny")).unwrap());
    let middle = "diffusion_model.middle_block.1.transformer_blocks.0";
    let check = |case: &str, metadata: &[(&str, &str)], change: &dyn Fn(&mut Tensors), expected: &str| {
        let mut tensors = good.clone();
        change(&mut tensors);
        let metadata: BTreeMap<_, _> = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let shapes = tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
        let data =
            |name: &str, shape: &[usize]| Ok(burn::tensor::TensorData::new(tensors[name].1.clone(), shape.to_vec()));
        write_safetensors(&path, &metadata, DType::F32, &shapes, data).unwrap();
        match load(&path) {
            Ok(_) => panic!("{case}: loaded"),
            Err(error) => assert!(error.to_string().contains(expected), "{case}: `{error}` without `{expected}`"),
        }
    };
    let widen = |t: &mut Tensors| {
        drop(t.insert(format!("{middle}.attn_mem.to_q.weight"), (vec![128, 128], vec![0.0; 128 * 128])))
    };
    check(
        "another width",
        &[],
        &widen,
        "to_q.weight` should have the shape [64, 64], found [128, 128]; these are not adapters for this base model (Stable Diffusion 1.x)",
    );
    check(
        "another family",
        &[("family", "sd2")],
        &|_| (),
        "trained for Stable Diffusion 2.x, the base model is Stable Diffusion 1.x",
    );
    check("an unknown family", &[("family", "sdxl")], &|_| (), "trained for `sdxl`");
    check("a later version", &[("version", "9")], &|_| (), "adapters of version `9`");
    check("an unknown variant", &[("variant", "magic")], &|_| (), "unknown variant `magic`");
    check("an unknown placement", &[("placement", "tail")], &|_| (), "found `tail`");
    check(
        "a variant without projection",
        &[("variant", "spatial_sum")],
        &|_| (),
        "10 tensors that the model does not have",
    );
    check(
        "a missing point",
        &[],
        &|t| t.retain(|name, _| !name.contains(".output_blocks.8.")),
        "output_blocks.8.1.transformer_blocks.0.norm2_mem.weight` is missing",
    );
    let extra = |t: &mut Tensors| {
        drop(t.insert(
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.norm2_mem.bias".into(),
            (vec![32], vec![0.0; 32]),
        ))
    };
    check("a point too many", &[], &extra, "1 tensors that the model does not have: `diffusion_model.input_blocks.1.1");
    check(
        "something else",
        &[],
        &|t| {
            t.clear();
            t.insert("w".into(), (vec![1], vec![0.0]));
        },
        "is missing; these are not adapters",
    );
}
