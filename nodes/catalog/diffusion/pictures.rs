//! From pictures to tensors and back.

use burn::tensor::{DType, Device, Tensor, TensorData};
use dc_graph_node_api::{Image, NodeError, Pixels, PortType, Value};

use crate::image::pixels::Samples;

/// A picture as the autoencoder takes it; alpha is laid over white.
///
/// # Shapes
/// - result: `[1, 3, height, width]` in -1..=1
pub(crate) fn to_tensor(image: &Image, device: &Device, dtype: DType) -> Tensor<4> {
    let samples = Samples::of(image).into_rgb_over([1.0; 3]);
    let (height, width) = (samples.height, samples.width);
    let values = samples.values.iter().map(|v| v * 2.0 - 1.0).collect::<Vec<f32>>();
    let data = TensorData::new(values, [1, height, width, 3]).convert_dtype(dtype);
    Tensor::<4>::from_data(data, device).permute([0, 3, 1, 2])
}

/// Decoded pictures, 8 bits a sample.
///
/// # Shapes
/// - tensor: `[batch, 3, height, width]`; what lies outside -1..=1 is clamped
pub(crate) fn from_tensor(tensor: Tensor<4>) -> Result<Vec<Image>, NodeError> {
    let [batch, channels, height, width] = tensor.dims();
    let data = tensor.permute([0, 2, 3, 1]).into_data().convert::<f32>();
    let values = data.as_slice::<f32>().map_err(|e| NodeError::failed(format!("the device gave no numbers: {e:?}")))?;
    if values.iter().any(|v| v.is_nan()) {
        return Err(NodeError::failed("the picture holds numbers that are not numbers (NaN)")
            .with_hint("run with `--dtype f32`: half precision may have overflowed"));
    }
    values
        .chunks_exact(values.len() / batch.max(1))
        .map(|picture| {
            let bytes = picture.iter().map(|v| ((v + 1.0) * 127.5).clamp(0.0, 255.0).round() as u8).collect();
            Image::new(width as u32, height as u32, channels as u8, Pixels::U8(bytes))
        })
        .collect()
}

/// Pictures as the value of a list port.
pub(crate) fn list(images: Vec<Image>) -> Value {
    Value::list(PortType::Image, images.into_iter().map(Value::from).collect::<Vec<_>>())
}
