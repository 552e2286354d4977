//! What the tests share: random values, and the comparison of values and gradients with plain operators.

use burn::tensor::{DType, Device, DispatchTensor, Tensor, TensorData};

use crate::operation::{Operation, apply};

/// `len` values between `-scale` and `scale`, the same for the same name.
pub(crate) fn random(name: &str, len: usize, scale: f32) -> Vec<f32> {
    let mut state =
        name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut next = || {
        // splitmix64 (Steele et al. 2014)
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(|_| next()).collect()
}

/// An operation on tensors that were flattened.
pub(crate) fn run<O: Operation<N>, const N: usize, const D: usize>(operation: O, x: [DispatchTensor; N]) -> Tensor<1> {
    Tensor::<D>::from_dispatch(apply(operation, x)).flatten(0, D - 1)
}

/// Compares an operation with plain operators: its values, and the gradients of all inputs for a random gradient of the
/// output. Inputs and output are flat; the functions give them their shapes. Differences are measured against the
/// largest value of each tensor, or 1 if that is more.
pub(crate) fn check<const N: usize>(
    what: &str,
    inputs: [Vec<f32>; N],
    tolerance: f32,
    ours: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    plain: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let leaf = |values: &Vec<f32>, device: &Device| {
        Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), device)
    };
    let gradients = |f: &dyn Fn([Tensor<1>; N]) -> Tensor<1>| {
        let device = Device::flex().autodiff();
        let leaves = inputs.each_ref().map(|values| leaf(values, &device).require_grad());
        let output = f(leaves.clone());
        let values = vector(output.clone());
        if values.is_empty() {
            return (values, inputs.each_ref().map(|_| Vec::new()));
        }
        let weights = leaf(&random("weights", values.len(), 1.0), &device);
        let mut grads = (output * weights).sum().backward();
        (values, leaves.map(|leaf| leaf.grad_remove(&mut grads).map(vector).unwrap_or_default()))
    };
    let (actual, actual_grads) = gradients(&ours);
    let (expected, expected_grads) = gradients(&plain);
    compare(&format!("{what}: values"), &actual, &expected, tolerance);
    for (i, (actual, expected)) in actual_grads.iter().zip(&expected_grads).enumerate() {
        compare(&format!("{what}: gradient of input {i}"), actual, expected, tolerance);
    }
    let untracked = vector(ours(inputs.each_ref().map(|values| leaf(values, &Device::flex()))));
    compare(&format!("{what}: values without autodiff"), &untracked, &actual, 0.0);
}

/// Compares an operation on bfloat16s with plain operators on the same values in float32: they differ by the rounding of
/// the result, and by `tolerance` times the largest value, or times 1 if that is more.
pub(crate) fn check_bf16<const N: usize>(
    what: &str,
    inputs: [Vec<f32>; N],
    tolerance: f32,
    ours: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    plain: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let device = Device::flex();
    let inputs = inputs.map(|values| Tensor::<1>::from_floats(values.as_slice(), &device).cast(DType::BF16));
    let expected = plain(inputs.clone().map(|x| x.cast(DType::F32)));
    let actual = ours(inputs);
    assert_eq!(actual.dtype(), DType::BF16, "{what}");
    let (actual, expected) = (vector(actual.cast(DType::F32)), vector(expected));
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
    for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
        // Half a place of a bfloat16, 2^-8 of its value at most.
        let allowed = e.abs() / 256.0 + tolerance * scale;
        assert!((a - e).abs() <= allowed, "{what}: {a} at {i}, expected {e}");
    }
}

fn vector(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

/// Largest difference at most `tolerance` times the largest expected value, or times 1 if that is more.
pub(crate) fn compare(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let scale = expected.iter().fold(1.0_f32, |scale, e| scale.max(e.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let difference = (a - e).abs();
        assert!(difference <= tolerance * scale, "{what}: {a} at {i}, expected {e}, largest {scale}");
    }
}
