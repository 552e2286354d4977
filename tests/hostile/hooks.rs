//! Step hooks that mean no good: what fails is the step, with the plugin's name, whatever the hook did to it.

use dc_graph::api::Value;
use dc_graph::api::step_hook::{HookStep, StepHookValue};

use super::guest::{BUFFER_IMPORTS, FLOAT32, Guest, UINT8};
use super::{sandbox, write};
use crate::plugin_examples::Quiet;

/// Gives latents of this length of shape, element type and buffer, in text form.
fn giving(shape_len: &str, elements: u32, data: &str) -> String {
    format!(
        "(i32.store8 (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (local.get $shape))
         (i32.store (i32.const 72) {shape_len}) (i32.store8 (i32.const 76) (i32.const {elements}))
         (i32.store (i32.const 80) {data}) (i32.const 64)"
    )
}

#[test]
fn hooks_are_contained_and_told() {
    const SAME: &str = "(local.get $shape_len)";
    let nan = format!(
        "(i32.store (i32.const 904) (i32.const {})) {}",
        f32::NAN.to_bits().cast_signed(),
        giving(SAME, FLOAT32, "(call $from_bytes (i32.const 900) (i32.const 12))")
    );
    let other_shape = format!(
        "(i32.store (local.get $shape) (i32.const 3)) (i32.store offset=12 (local.get $shape) (i32.const 1)) {}",
        giving(SAME, FLOAT32, "(local.get $data)")
    );
    let cases = [
        ("(loop $l (br $l)) (i32.const 0)".to_owned(), "took longer than 1 seconds and was stopped"),
        ("unreachable".into(), "trapped: wasm `unreachable` instruction executed"),
        ("(i32.const -4)".into(), "broke the contract"),
        ("(drop (memory.grow (i32.const 65000))) (i32.const 0)".into(), "needs more than 64 MiB of memory"),
        (giving(SAME, FLOAT32, "(i32.const 4711)"), "broke the contract"),
        (giving("(i32.const -1)", FLOAT32, "(local.get $data)"), "broke the contract"),
        (giving("(i32.const 3)", FLOAT32, "(local.get $data)"), "needs 4 bytes, found 12"),
        (giving(SAME, UINT8, "(local.get $data)"), "needs 3 bytes, found 12"),
        (
            giving(SAME, UINT8, "(call $from_bytes (i32.const 900) (i32.const 3))"),
            "of shape [1, 1, 1, 3] and type U8, expected",
        ),
        (other_shape, "gave latents of shape [3, 1, 1, 1]"),
        (nan, "gave latents that are NaN at element 1"),
    ];
    let host = sandbox(None);
    let step = HookStep { step: 1, total: 4, timestep: 500.0, sigma: 3.0, sigma_next: 1.0 };
    let mut wrong = Vec::new();
    let honest = (giving(SAME, FLOAT32, "(local.get $data)"), "");
    // Last comes an honest one: the sandbox still works.
    for (body, expected) in cases.into_iter().chain([honest]) {
        let mut guest = Guest::new("Evil").import(BUFFER_IMPORTS).output("hook", "dc:step-hook");
        guest.step = Some(body.clone());
        let dir = tempfile::tempdir().unwrap();
        let plugin = host.load(&write(dir.path(), &guest)).unwrap();
        let outputs = plugin.nodes[0].run(&dc_graph::api::Inputs::default(), &Quiet).unwrap();
        let Some(Value::Native(hook)) = outputs.get("hook") else { panic!("a hook") };
        let hook = hook.downcast::<StepHookValue>().unwrap();
        let latents = vec![0.0, 1.0, -1.0];
        match hook.hook().step(&step, [1, 1, 1, 3], latents.clone(), &Quiet) {
            Ok(found) if expected.is_empty() && found == latents => {}
            Err(error) if !expected.is_empty() => {
                let told = error.to_string();
                if !told.contains(expected) || !told.contains("plugin `evil` 1.2.3") {
                    wrong.push(format!("expected `{expected}`, found `{told}`: {body}"));
                }
            }
            found => wrong.push(format!("expected `{expected}`, found {found:?}: {body}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
