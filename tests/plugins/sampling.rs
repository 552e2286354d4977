//! Plugins and samplers: schedules, step hooks, and the values of the models that a plugin hands on or changes.

use std::fs;

use serde_json::{Value, json};

use super::guest::{Guest, folder};
use crate::diffusion::{Graph, from};
use crate::parity_of_pipelines::tensor;
use crate::program::{Outcome, Place, repository};

const MODEL: &str = "random:sd15-tiny";

/// Runs a graph with the example plugin for samplers, and with those in `plugins` of the place.
fn run(graph: &Graph, place: &Place, output: &str) -> Outcome {
    let example = repository().join("examples/plugins/sampling").display().to_string();
    let args = ["run", "-", "--device", "cpu", "--dtype", "f32", "--progress", "none", "--output", output];
    place.run_with_input(&[&args[..], &["--plugins", &example]].concat(), &graph.text())
}

#[test]
fn a_schedule_and_a_step_hook_of_a_plugin() {
    let place = Place::new();
    let sampler = |more: Value| {
        let mut inputs = json!({ "sampler": "euler", "num_inference_steps": null });
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        inputs
    };
    // What the plugin's nodes compute, and the same written down.
    let spaced = |i: f64| (10f64.powf(1.0 / 7.0) + i / 3.0 * (0.1f64.powf(1.0 / 7.0) - 10f64.powf(1.0 / 7.0))).powi(7);
    let sigmas: Vec<f64> = (0..4).map(|i| spaced(f64::from(i))).chain([0.0]).collect();
    let karras = json!({ "num_inference_steps": 4, "sigma_min": 0.1, "sigma_max": 10.0 });
    let graph = Graph::new(MODEL)
        .node("karras", "Karras Schedule", karras)
        .node("strong", "Sharpen Latents", json!({ "amount": 0.5 }))
        .node("none", "Sharpen Latents", json!({ "amount": 0 }))
        .sampler("written", "Sample", sampler(json!({ "sigmas": sigmas })))
        .sampler("plugin", "Sample", sampler(json!({ "sigmas": from("karras.sigmas") })))
        .sampler("same", "Sample", sampler(json!({ "sigmas": from("karras.sigmas"), "step_hook": from("none.hook") })))
        .sampler(
            "sharp",
            "Sample",
            sampler(json!({ "sigmas": from("karras.sigmas"), "step_hook": from("strong.hook") })),
        );
    run(&graph, &place, "out").expect(0);
    let latents = |name: &str| tensor(&place.path(&format!("out/{name}.safetensors")), "latents");
    let (written, plugin) = (latents("written"), latents("plugin"));
    assert!(written.iter().zip(&plugin).all(|(a, b)| (a - b).abs() < 1e-4), "the plugin's sigmas");
    assert_eq!(latents("same"), plugin, "a hook that changes nothing");
    assert_ne!(latents("sharp"), plugin);
}

#[test]
fn values_of_models_pass_through_untouched() {
    let place = Place::new();
    let ports = ["model", "conditioning", "reference-cache", "adapters", "latents"].map(|ty| (ty, format!("dc:{ty}")));
    let ports: Vec<_> = ports.iter().map(|(name, ty)| (name.replace('-', "_"), ty.as_str())).collect();
    let ports: Vec<_> = ports.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
    folder(&place.path("plugins"), "through", "Through", &Guest::echo("Through", &ports).component(), "");
    let through = json!({
        "model": from("model.model"), "conditioning": from("prompt.conditioning"), "reference_cache": from("cache.cache"),
        "adapters": from("adapters.adapters"), "latents": from("size.latents"),
    });
    let inputs = json!({
        "model": from("through.model"), "conditioning": from("through.conditioning"),
        "cache": from("through.reference_cache"), "adapters": from("through.adapters"), "latents": from("through.latents"),
    });
    let mut graph = Graph::new(MODEL)
        .node("through", "Through", through)
        .sampler("direct", "Sample With Cache", json!({}))
        .sampler("handed-on", "Sample With Cache", json!({}));
    for (input, value) in inputs.as_object().unwrap() {
        graph = graph.set("handed-on", input, value.clone());
    }
    run(&graph, &place, "out").expect(0);
    let bytes = |name: &str| fs::read(place.path(&format!("out/{name}.safetensors"))).unwrap();
    assert!(bytes("direct") == bytes("handed-on"));
}

#[test]
fn latents_and_caches_are_changed_as_tensors() {
    let place = Place::new();
    for (name, ty) in
        [("Change Latents", "dc:latents"), ("Change Cache", "dc:reference-cache"), ("Change Model", "dc:model")]
    {
        let id = name.to_lowercase().replace(' ', "-");
        folder(&place.path("plugins"), &id, name, &Guest::change(name, ty).component(), "");
    }
    let start = Graph::new(MODEL).sampler("start", "Sample", json!({}));
    let graph = start
        .node("latents", "Change Latents", json!({ "in": from("start.latents") }))
        .node("save", "Save Latents", json!({ "latents": from("latents.in"), "path": "changed.safetensors" }))
        .node("other", "Change Cache", json!({ "in": from("cache.cache") }))
        .sampler("cached", "Sample With Cache", json!({}))
        .sampler("other-cached", "Sample With Cache", json!({ "cache": from("other.in") }));
    run(&graph, &place, "out").expect(0);
    let latents = |name: &str| tensor(&place.path(&format!("out/{name}.safetensors")), "latents");
    let mut expected = latents("start");
    expected[1] = 5.0;
    assert_eq!(latents("changed"), expected);
    assert_ne!(latents("cached"), latents("other-cached"));

    // A model cannot be looked into: the guest gives up, and says so by a trap.
    let model = Graph::new(MODEL)
        .node("other", "Change Model", json!({ "in": from("model.model") }))
        .node("prompt", "Encode Prompt", json!({ "model": from("other.in"), "prompt": "" }))
        .sampler("start", "Sample", json!({}));
    let failed = run(&model, &place, "model").expect(1);
    assert!(failed.stderr.contains("plugin `change-model` 1.2.3 trapped"), "{}", failed.stderr);
}
