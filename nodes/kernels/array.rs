//! Tensors as slices, and slices as tensors.

use burn::tensor::{Bytes, DType, Element, Shape};
use burn_flex::{FlexTensor, Layout};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::simd::{Level, rounded, widened_halves};

/// The tensor with its values side by side in row-major order: itself where they are already.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`contiguous`] tensor.
///
/// # Panics
/// When it is not contiguous, or not of float32.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of float32")
}

/// The values of a tensor of bfloat16 from its first on, two by two, each pair in the place of a float32: nothing where such
/// a place would be no address of one, or a value is left alone.
///
/// # Panics
/// When it is not of bfloat16.
pub(crate) fn pairs(tensor: &FlexTensor) -> Option<&[f32]> {
    bytemuck::try_cast_slice(halves(tensor)).ok()
}

/// The bits of a tensor of bfloat16 from its first value on.
///
/// # Panics
/// When it is not of bfloat16.
pub(crate) fn halves(tensor: &FlexTensor) -> &[u16] {
    tensor.storage::<bf16>()[tensor.layout().start_offset()..].reinterpret_cast()
}

/// `len` values that `fill` writes. They hold anything before: `fill` must write all of them and read none.
///
/// Clearing them first would cost as much as many of the kernels do.
pub(crate) fn filled<T: Pod, R>(len: usize, fill: impl FnOnce(&mut [T]) -> R) -> (Vec<T>, R) {
    let mut values = Vec::<std::mem::MaybeUninit<T>>::with_capacity(len);
    // SAFETY: `MaybeUninit` needs no initialization. A slice of `T` over it is only written to before it is read (the
    // duty of every `fill` in this private module's few callers), and any bit pattern is a `T`.
    unsafe {
        values.set_len(len);
        let result = fill(std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len));
        let mut values = std::mem::ManuallyDrop::new(values);
        (Vec::from_raw_parts(values.as_mut_ptr().cast(), len, values.capacity()), result)
    }
}

/// What a kernel writes, all of it.
#[derive(Debug)]
pub(crate) enum Output<'a> {
    Singles(&'a mut [f32]),
    /// Bfloat16s, rounded from float32 as soon as they are final.
    Halves(&'a mut [u16]),
}

impl Output<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Singles(values) => values.len(),
            Self::Halves(values) => values.len(),
        }
    }
}

/// A tensor that `fill` writes, in float32 or bfloat16. As in [`filled`], it must write all values and read none.
pub(crate) fn filled_tensor(dtype: DType, shape: impl Into<Shape>, fill: impl FnOnce(Output)) -> FlexTensor {
    let layout = Layout::contiguous(shape.into());
    let len = layout.num_elements();
    let bytes = match dtype {
        DType::F32 => Bytes::from_elems(filled(len, |values: &mut [f32]| fill(Output::Singles(values))).0),
        DType::BF16 => {
            Bytes::from_elems(filled(len, |values: &mut [bf16]| fill(Output::Halves(values.reinterpret_cast_mut()))).0)
        }
        other => panic!("an output of {other:?}"),
    };
    FlexTensor::new(bytes, layout, dtype)
}

/// Values in row-major order as a tensor.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// Values in another order as a tensor.
pub(crate) fn strided(values: Vec<f32>, layout: Layout) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// Values that one thread converts at once.
const CHUNK: usize = 1 << 15;

/// The tensor in float32: itself where it is already.
pub(crate) fn widened(tensor: FlexTensor) -> FlexTensor {
    fn wide<T: Sync>(tensor: &FlexTensor, storage: &[T], convert: impl Fn(&[T], &mut [f32]) + Sync) -> FlexTensor {
        let (values, ()) = filled(storage.len(), |values| {
            values.par_chunks_mut(CHUNK).zip(storage.par_chunks(CHUNK)).for_each(|(to, from)| convert(from, to));
        });
        strided(values, tensor.layout().clone())
    }
    if tensor.dtype() == DType::F32 {
        return tensor;
    }
    // Strides are kept where they reach the whole storage, and a part of it is not paid for as a whole.
    let whole = tensor.bytes().len() == tensor.layout().num_elements() * 2;
    let tensor = if whole { tensor } else { tensor.to_contiguous() };
    match tensor.dtype() {
        DType::F16 => wide(&tensor, tensor.storage::<f16>(), |from, to| from.convert_to_f32_slice(to)),
        DType::BF16 => wide(&tensor, tensor.storage::<bf16>(), |from, to| {
            widened_halves(Level::best(), from.reinterpret_cast(), to);
        }),
        other => panic!("a kernel for float32 and half precision got {other:?}"),
    }
}

/// A whole tensor of float32 in a number type, rounded to the nearest: itself where it is of that type already.
pub(crate) fn narrowed(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    fn narrow<T: Element + Pod>(from: &[f32], convert: impl Fn(&[f32], &mut [T]) + Sync) -> Bytes {
        let (values, ()) = filled(from.len(), |values| {
            values.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| convert(from, to));
        });
        Bytes::from_elems(values)
    }
    if tensor.dtype() == dtype {
        return tensor;
    }
    let storage = tensor.storage::<f32>();
    let bytes = match dtype {
        DType::F16 => narrow::<f16>(storage, |from, to| to.convert_from_f32_slice(from)),
        DType::BF16 => narrow::<bf16>(storage, |from, to| rounded(Level::best(), from, to.reinterpret_cast_mut())),
        other => panic!("a kernel for float32 and half precision was asked for {other:?}"),
    };
    FlexTensor::new(bytes, tensor.layout().clone(), dtype)
}

/// The shape as a list.
pub(crate) fn dims(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().iter().copied().collect()
}
