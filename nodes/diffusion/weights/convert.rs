//! From the stored number type to the one computed in, watching for numbers that are not finite.

use burn::tensor::{DType, TensorData};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// `data` as `dtype`. Float16 and bfloat16, which most checkpoints are stored in, go through the vector instructions.
///
/// # Errors
/// What is wrong, to follow the tensor's name: not a floating-point tensor, not finite, or too large for `dtype`.
pub(crate) fn cast(data: TensorData, dtype: DType) -> Result<TensorData, String> {
    if !data.dtype().is_float() {
        return Err(format!("holds {}, expected floating-point numbers", data.dtype().name()));
    }
    if !is_finite(&data) {
        return Err("holds NaN or infinite values".to_string());
    }
    let stored = data.dtype();
    let converted = match (stored, dtype) {
        (DType::F16, DType::F32) => widen::<f16>(&data),
        (DType::BF16, DType::F32) => widen::<bf16>(&data),
        (DType::F32, DType::F16) => narrow::<f16>(&data),
        (DType::F32, DType::BF16) => narrow::<bf16>(&data),
        _ => None,
    };
    let converted = match converted {
        Some(converted) => converted,
        None => data.try_cast(dtype).map_err(|error| format!("cannot become {}: {error}", dtype.name()))?,
    };
    if stored != dtype && !is_finite(&converted) {
        return Err(format!("holds values too large for {}; load the model as f32 or bf16", dtype.name()));
    }
    Ok(converted)
}

fn widen<T: burn::tensor::Element>(data: &TensorData) -> Option<TensorData>
where
    [T]: HalfFloatSliceExt,
{
    let from = data.as_slice::<T>().ok()?;
    let mut to = vec![0.0_f32; from.len()];
    from.convert_to_f32_slice(&mut to);
    Some(TensorData::new(to, data.shape().clone()))
}

fn narrow<T: burn::tensor::Element + bytemuck::Zeroable>(data: &TensorData) -> Option<TensorData>
where
    [T]: HalfFloatSliceExt,
{
    let from = data.as_slice::<f32>().ok()?;
    let mut to = vec![T::zeroed(); from.len()];
    to.convert_from_f32_slice(from);
    Some(TensorData::new(to, data.shape().clone()))
}

/// Whether every number is finite: in every format, an exponent of all ones is a NaN or an infinity. Without an early
/// exit inside a chunk, so that the compiler can use vector instructions.
fn is_finite(data: &TensorData) -> bool {
    fn all<T: Copy>(values: &[T], finite: impl Fn(T) -> bool) -> bool {
        values.chunks(4096).all(|chunk| chunk.iter().fold(true, |so_far, value| so_far & finite(*value)))
    }
    match data.dtype() {
        DType::F64 => data.as_slice::<f64>().is_ok_and(|v| all(v, f64::is_finite)),
        DType::F32 => data.as_slice::<f32>().is_ok_and(|v| all(v, f32::is_finite)),
        DType::F16 => data.as_slice::<f16>().is_ok_and(|v| all(v, f16::is_finite)),
        DType::BF16 => data.as_slice::<bf16>().is_ok_and(|v| all(v, bf16::is_finite)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_what_fits_and_names_what_does_not() {
        let check =
            |data: TensorData, dtype: DType, expected: Result<Vec<f32>, &str>| match (cast(data, dtype), expected) {
                (Ok(data), Ok(expected)) => {
                    assert_eq!(data.dtype(), dtype);
                    assert_eq!(data.iter::<f32>().collect::<Vec<_>>(), expected);
                }
                (Err(message), Err(expected)) => assert!(message.contains(expected), "{message}"),
                (got, expected) => panic!("expected {expected:?}, got {got:?}"),
            };
        let f16s = |v: &[f32]| TensorData::new(v.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>(), [v.len()]);
        let bf16s = |v: &[f32]| TensorData::new(v.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>(), [v.len()]);
        let f32s = |v: &[f32]| TensorData::new(v.to_vec(), [v.len()]);
        let f64s = |v: &[f64]| TensorData::new(v.to_vec(), [v.len()]);
        let long: Vec<f32> = (0..9000_u16).map(f32::from).map(|i| (i % 512.0) - 256.0).collect();
        check(f16s(&long), DType::F32, Ok(long.clone()));
        check(f32s(&long), DType::F16, Ok(long.clone()));
        check(bf16s(&[0.5, -3.0]), DType::F32, Ok(vec![0.5, -3.0]));
        check(f32s(&[0.5, -3.0]), DType::BF16, Ok(vec![0.5, -3.0]));
        check(f16s(&[0.5, -3.0]), DType::F16, Ok(vec![0.5, -3.0]));
        check(f16s(&[0.5, -3.0]), DType::BF16, Ok(vec![0.5, -3.0]));
        check(f64s(&[0.5, -3.0]), DType::F32, Ok(vec![0.5, -3.0]));
        check(f32s(&[0.5, f32::NAN]), DType::F32, Err("NaN or infinite"));
        check(f32s(&[f32::NEG_INFINITY]), DType::F16, Err("NaN or infinite"));
        check(f16s(&[f32::INFINITY]), DType::F32, Err("NaN or infinite"));
        check(bf16s(&[f32::NAN]), DType::F32, Err("NaN or infinite"));
        check(f64s(&[f64::NAN]), DType::F32, Err("NaN or infinite"));
        check(f32s(&[1e6]), DType::F16, Err("too large for f16"));
        check(f64s(&[1e300]), DType::F32, Err("too large for f32"));
        check(TensorData::new(vec![1_i64], [1]), DType::F32, Err("holds i64, expected floating-point"));
    }
}
