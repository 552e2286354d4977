//! Pictures of a data set as tensors.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::dataset::Picture;

/// Pictures of one size, as numbers in -1..=1 for [`tensor`]: `[pictures, 3, height, width]`.
pub fn planes<'a>(pictures: impl IntoIterator<Item = &'a Picture>) -> Vec<f32> {
    let mut values = Vec::new();
    for picture in pictures {
        for channel in 0..3 {
            values.extend(picture.pixels.chunks_exact(3).map(|p| f32::from(p[channel]) / 127.5 - 1.0));
        }
    }
    values
}

/// # Shapes
/// - values: of [`planes`]
/// - result: `[pictures, 3, height, width]`
pub fn tensor(values: Vec<f32>, [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let count = values.len() / (3 * height * width).max(1);
    Tensor::from_data(TensorData::new(values, [count, 3, height, width]), (device, DType::F32))
}
