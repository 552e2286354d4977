//! What the parity tests share: the fixtures, the inputs they were made from, the device, and the comparison.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use crate::device::{DTypeChoice, resolve};
use crate::weights::uniform;

/// The device that device-dependent tests run on: `DC_GRAPH_TEST_DEVICE`, `cpu` (the default) or what this build reaches.
pub(crate) fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let open = || {
        let name = std::env::var("DC_GRAPH_TEST_DEVICE").unwrap_or_default();
        let choice = if name.is_empty() { "cpu" } else { &name }.parse().expect("the name of a device");
        resolve(choice, DTypeChoice::F32).expect("a device to test on").device
    };
    DEVICE.get_or_init(open).clone()
}

/// `tolerance` in float32 on the CPU, 1e-4 on any other device.
pub(crate) fn tolerance(on_cpu: f32) -> f32 {
    if device() == Device::flex() { on_cpu } else { on_cpu.max(1e-4) }
}

/// The bytes of a file under `tests/parity/`.
fn parity_file(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/parity/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn find(name: &str) -> (Vec<usize>, Dtype, &'static [u8]) {
    static FILES: [(&str, OnceLock<Vec<u8>>); 2] =
        [("full_sd15.safetensors", OnceLock::new()), ("fixtures.safetensors", OnceLock::new())];
    let (file, bytes) = &FILES[usize::from(!name.starts_with("full_"))];
    let tensors = SafeTensors::deserialize(bytes.get_or_init(|| parity_file(file))).expect("a safetensors file");
    let view = tensors.tensor(name).unwrap_or_else(|e| panic!("fixture `{name}`: {e}"));
    (view.shape().to_vec(), view.dtype(), view.data())
}

/// A fixture's shape and values: `sd15.unet/out_t500`, `sched.ddim.epsilon.leading.4/traj`, ... Integers are converted.
pub(crate) fn fixture_values(name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, dtype, bytes) = find(name);
    let values = match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect(),
        Dtype::I64 => {
            bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as f32).collect()
        }
        other => panic!("fixture `{name}` holds {other:?}"),
    };
    (shape, values)
}

/// A fixture as a tensor on the test [`device`].
pub(crate) fn fixture<const D: usize>(name: &str) -> Tensor<D> {
    let (shape, values) = fixture_values(name);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// The names of all fixtures that start with `prefix`, sorted.
pub(crate) fn fixture_names(prefix: &str) -> Vec<String> {
    let bytes = parity_file("fixtures.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut names: Vec<_> = tensors.names().into_iter().filter(|n| n.starts_with(prefix)).map(String::from).collect();
    names.sort();
    names
}

/// `inp(name, *shape, amp)` of the generator: `amp * u("in:" + name)` on the test [`device`].
pub(crate) fn input<const D: usize>(name: &str, shape: [usize; D], amp: f32) -> Tensor<D> {
    let values: Vec<f32> = uniform(&format!("in:{name}"), shape.iter().product()).map(|u| u * amp).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// A tensor's values, in row-major order.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().try_to_vec().expect("just converted to f32")
}

/// The largest absolute difference, as an assertion: below `tolerance`, and no NaN.
pub(crate) fn check_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let (mut worst, mut at) = (0.0_f32, 0);
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let difference = (a - e).abs();
        assert!(!difference.is_nan(), "{what}: {a} at {i}, expected {e}");
        if difference > worst {
            (worst, at) = (difference, i);
        }
    }
    eprintln!("{what}: largest difference {worst:.2e} (tolerance {tolerance:.0e})");
    assert!(worst <= tolerance, "{what}: {} at {at}, expected {}, differ by {worst:e}", actual[at], expected[at]);
}

/// [`check_close`] of a tensor with the fixture `name`, shapes included.
pub(crate) fn check_fixture<const D: usize>(name: &str, actual: &Tensor<D>, tolerance: f32) {
    let (shape, expected) = fixture_values(name);
    assert_eq!(actual.dims().as_slice(), shape, "{name}: shape");
    check_close(name, &values(actual), &expected, tolerance);
}

mod tests {
    use super::*;
    use crate::weights::{Recipe, TensorSource};

    #[test]
    fn the_recipe_is_that_of_the_fixtures() {
        for (prefix, name, shape, fixture) in [
            ("sd15.", "unet.conv_in.weight", vec![32, 4, 3, 3], "recipe/a"),
            ("x.", "norm.weight", vec![8], "recipe/b"),
        ] {
            let made = Recipe::new(prefix).read(name, &shape).expect("a recipe makes anything");
            let made = made.try_to_vec::<f32>().expect("f32");
            let (_, expected) = fixture_values(fixture);
            assert_eq!(made[..expected.len()], expected, "{fixture}");
        }
    }
}
