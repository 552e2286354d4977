//! Whole pipelines through the command line alone, files in and latents out, against diffusers' numbers.
//!
//! `tests/parity/pipeline_*.safetensors` hold inputs and outputs of the models that `random:...` stands for. When
//! `DC_GRAPH_PARITY_DIR` names a folder of further pipelines (`NAME/` in the layout of diffusers, with `adapters.pt`,
//! `adapters.safetensors` and `expected.safetensors`), they are checked in the same way.

use std::path::{Path, PathBuf};

use dc_graph_nodes::dc_diffusion::checkpoint::{Family, Random, load_adapters, save_adapters};
use dc_graph_nodes::dc_diffusion::device::resolve;
use safetensors::SafeTensors;
use serde_json::json;

use crate::program::{Place, repository};

/// Largest relative norm of the difference. float32 moves by 1.5e-6 against float64 here.
const TOLERANCE: f64 = 1e-5;

/// A pipeline and where its numbers are.
struct Pipeline<'a> {
    model: &'a str,
    adapters: &'a str,
    /// The inputs of `Encode Prompt`.
    prompt: serde_json::Value,
    fixture: &'a Path,
    /// The tensor that sampling starts from.
    start: &'a str,
}

/// A tensor of a safetensors file, in f32.
pub(crate) fn tensor(file: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap_or_else(|e| panic!("{}: `{name}`: {e}", file.display()));
    assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn relative_norm(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    (difference / size).sqrt()
}

impl Pipeline<'_> {
    /// Ten DDIM steps under each rule of guidance, as a document.
    fn graph(&self, rules: &[&str]) -> String {
        let fixture = self.fixture.display().to_string();
        let load = |tensor: &str| json!({ "type": "Load Latents", "inputs": { "path": fixture, "tensor": tensor } });
        let model = json!({ "from": "model.model" });
        let mut prompt = json!({ "type": "Encode Prompt", "inputs": self.prompt });
        prompt["inputs"]["model"] = model.clone();
        let mut nodes = json!({
            "model": { "type": "Load Model", "inputs": { "model": self.model } },
            "adapters": { "type": "Load Adapters", "inputs": { "model": model, "adapters": self.adapters } },
            "prompt": prompt,
            "reference": load("cache.reference_latents"),
            "noise": load("cache.noise"),
            "start": load(self.start),
            "cache": { "type": "Build Cache", "inputs": {
                "model": model, "dtype": "f32",
                "latents": { "from": "reference.latents" }, "noise": { "from": "noise.latents" },
            } },
        });
        for rule in rules {
            let mut inputs = json!({
                "model": model, "conditioning": { "from": "prompt.conditioning" },
                "noise": { "from": "start.latents" }, "num_inference_steps": 10, "guidance_scale": 7.5,
            });
            if *rule != "plain" {
                inputs["cache"] = json!({ "from": "cache.cache" });
                inputs["adapters"] = json!({ "from": "adapters.adapters" });
                inputs["guidance"] = json!(rule);
                inputs["image_guidance_scale"] = json!(0.4);
            }
            let sampler = if *rule == "plain" { "Sample" } else { "Sample With Cache" };
            nodes[rule] = json!({ "type": sampler, "inputs": inputs });
            let latents = json!({ "from": format!("{rule}.latents") });
            let path = format!("{rule}.safetensors");
            nodes[format!("save-{rule}")] =
                json!({ "type": "Save Latents", "inputs": { "latents": latents, "path": path } });
        }
        json!({ "version": 1, "name": "parity", "nodes": nodes }).to_string()
    }

    #[track_caller]
    fn check(&self, rules: &[&str]) {
        let place = Place::new();
        let args = ["run", "-", "--device", "cpu", "--dtype", "f32", "--progress", "none"];
        place.run_with_input(&args, &self.graph(rules)).expect(0);
        for rule in rules {
            let found = tensor(&place.path(&format!("output/{rule}.safetensors")), "latents");
            let expected = tensor(self.fixture, &format!("sample.{rule}.latents"));
            let norm = relative_norm(&found, &expected);
            eprintln!("{} {rule}: {norm:.1e}", self.model);
            assert!(norm < TOLERANCE, "{} {rule}: {norm:.1e}", self.model);
        }
    }
}

/// The prompt of `tests/parity/make_pipelines.py`.
fn fox() -> serde_json::Value {
    json!({ "prompt": "a red fox in the snow", "negative_prompt": "" })
}

fn fixture(kind: &str) -> PathBuf {
    repository().join(format!("tests/parity/pipeline_{kind}.safetensors"))
}

#[test]
fn random_pipelines() {
    for kind in ["sd15", "sd21"] {
        let name = format!("random:{kind}-tiny");
        let fixture = fixture(kind);
        let pipeline =
            Pipeline { model: &name, adapters: &name, prompt: fox(), fixture: &fixture, start: "sample.start" };
        pipeline.check(&["plain", "joint", "combined"]);
    }
}

/// The same weights, read from the files that this program writes.
#[test]
fn random_pipelines_from_files() {
    for (kind, family) in [("sd15", Family::Sd1), ("sd21", Family::Sd2)] {
        let place = Place::new();
        let (folder, adapters) = (place.path("model"), place.path("adapters.safetensors"));
        let name = format!("{kind}-tiny");
        place.run(&["model", "new-random", folder.to_str().unwrap(), "--kind", &name]).expect(0);
        let inspected = place.run(&["model", "inspect", folder.to_str().unwrap(), "--json"]).expect(0).json();
        assert_eq!(inspected["kind"], "diffusers_folder");
        assert_eq!(inspected["components"]["unet"]["missing"], json!([]));
        let cpu = resolve("cpu".parse().unwrap(), "f32".parse().unwrap()).unwrap();
        let unet = Random::from_name(&name).unwrap().checkpoint().unet.config;
        let made = load_adapters(&format!("random:{name}"), &unet, family, &cpu.device, cpu.dtype).unwrap();
        save_adapters(&adapters, &made, family, cpu.dtype).unwrap();
        let pipeline = Pipeline {
            model: folder.to_str().unwrap(),
            adapters: adapters.to_str().unwrap(),
            prompt: fox(),
            fixture: &fixture(kind),
            start: "sample.start",
        };
        pipeline.check(&["plain", "joint", "combined"]);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Pipelines beside the repository, if there are any: another generator's weights, and adapters as they are released.
#[test]
fn pipelines_of_the_parity_folder() {
    let Some(root) = std::env::var_os("DC_GRAPH_PARITY_DIR") else { return };
    let mut found = 0;
    for entry in std::fs::read_dir(&root).expect("DC_GRAPH_PARITY_DIR is a folder") {
        let folder = entry.unwrap().path();
        let expected = folder.join("expected.safetensors");
        if !expected.is_file() {
            continue;
        }
        found += 1;
        let bytes = std::fs::read(&expected).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let ids = tensors.tensor("text.input_ids").unwrap();
        let width = match ids.dtype() {
            safetensors::Dtype::I32 => 4,
            safetensors::Dtype::I64 => 8,
            other => panic!("token ids as {other:?}"),
        };
        let ids: Vec<i64> =
            ids.data().chunks_exact(width).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect();
        let (cond, uncond) = ids.split_at(ids.len() / 2);
        // The folders have no tokenizer. Their ids say what pads: the caching prompt must be padded in the same way.
        let model = Place::new();
        copy(&folder, &model.path("model"));
        let pad = if uncond[76] == 49407 { "<|endoftext|>" } else { "!" };
        model.write("model/tokenizer/special_tokens_map.json", json!({ "pad_token": pad }).to_string());
        for adapters in ["adapters.safetensors", "adapters.pt"] {
            let pipeline = Pipeline {
                model: &model.path("model").display().to_string(),
                adapters: &folder.join(adapters).display().to_string(),
                prompt: json!({ "token_ids": cond, "negative_token_ids": uncond }),
                fixture: &expected,
                start: "unet.sample",
            };
            pipeline.check(&["joint", "combined"]);
        }
    }
    assert!(found > 0, "no pipelines in {}", root.display());
}
