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

/// A function of the rows of a [`contiguous`] tensor, computed in float32 and stored in the tensor's number type.
///
/// Rows of `sizes[0]` values become rows of `sizes[1]`, on each thread `at_once` of them. `fill` gets the number of the
/// first row, the rows, and those that it must write, all of them, and not read. Half precision is converted while it
/// is in near memory.
pub(crate) fn by_rows(
    x: &FlexTensor,
    sizes: [usize; 2],
    at_once: usize,
    shape: Vec<usize>,
    fill: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) -> FlexTensor {
    fn chunks<T: Pod + Send + Sync, R>(
        x: &[T],
        [before, after]: [usize; 2],
        at_once: usize,
        len: usize,
        room: impl Fn() -> R + Sync + Send,
        fill: impl Fn(&mut R, usize, &[T], &mut [T]) + Sync + Send,
    ) -> Vec<T> {
        let fill = |y: &mut [T]| {
            if y.len() <= at_once * after {
                return fill(&mut room(), 0, x, y);
            }
            let chunks = y.par_chunks_mut(at_once * after).zip(x.par_chunks(at_once * before)).enumerate();
            chunks.for_each_init(&room, |room, (i, (y, x))| fill(room, i * at_once, x, y));
        };
        filled(len, fill).0
    }
    fn converted<T: Half>(
        x: &FlexTensor,
        sizes: [usize; 2],
        at_once: usize,
        len: usize,
        fill: impl Fn(usize, &[f32], &mut [f32]) + Sync,
    ) -> Bytes {
        let x: &[T] = x.as_slice().expect("a contiguous tensor");
        let room = <[Vec<f32>; 2]>::default;
        Bytes::from_elems(chunks(x, sizes, at_once, len, room, |[before, after], first, x, y| {
            // Both stay in the first cache.
            let rows = ((1 << 12) / sizes[0]).max(1);
            let parts = x.chunks(rows * sizes[0]).zip(y.chunks_mut(rows * sizes[1]));
            for (i, (x, y)) in parts.enumerate() {
                before.resize(x.len(), 0.0);
                after.resize(y.len(), 0.0);
                T::widen(x, before);
                fill(first + i * rows, before, after);
                T::narrow(after, y);
            }
        }))
    }
    let layout = Layout::contiguous(shape.into());
    let len = layout.num_elements();
    let bytes = match x.dtype() {
        _ if len == 0 => Bytes::from_elems(Vec::<f32>::new()),
        DType::F16 => converted::<f16>(x, sizes, at_once, len, fill),
        DType::BF16 => converted::<bf16>(x, sizes, at_once, len, fill),
        _ => Bytes::from_elems(chunks(values(x), sizes, at_once, len, || (), |(), first, x, y| fill(first, x, y))),
    };
    FlexTensor::new(bytes, layout, x.dtype())
}

/// A number type of half precision.
trait Half: Element + Pod {
    fn widen(from: &[Self], to: &mut [f32]);
    /// Rounds to the nearest.
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Half for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
}

impl Half for bf16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        widened_halves(Level::best(), from.reinterpret_cast(), to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        rounded(Level::best(), from, to.reinterpret_cast_mut());
    }
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
    fn wide<T: Half>(tensor: &FlexTensor) -> FlexTensor {
        let storage = tensor.storage::<T>();
        let (values, ()) = filled(storage.len(), |values| {
            values.par_chunks_mut(CHUNK).zip(storage.par_chunks(CHUNK)).for_each(|(to, from)| T::widen(from, to));
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
        DType::F16 => wide::<f16>(&tensor),
        DType::BF16 => wide::<bf16>(&tensor),
        other => panic!("a kernel for float32 and half precision got {other:?}"),
    }
}

/// A whole tensor of float32 in a number type, rounded to the nearest: itself where it is of that type already.
pub(crate) fn narrowed(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    fn narrow<T: Half>(from: &[f32]) -> Bytes {
        let (values, ()) = filled(from.len(), |values: &mut [T]| {
            values.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| T::narrow(from, to));
        });
        Bytes::from_elems(values)
    }
    if tensor.dtype() == dtype {
        return tensor;
    }
    let storage = tensor.storage::<f32>();
    let bytes = match dtype {
        DType::F16 => narrow::<f16>(storage),
        DType::BF16 => narrow::<bf16>(storage),
        other => panic!("a kernel for float32 and half precision was asked for {other:?}"),
    };
    FlexTensor::new(bytes, tensor.layout().clone(), dtype)
}

/// The shape as a list.
pub(crate) fn dims(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use crate::testing::random;
    use crate::{geglu, gelu, layer_norm, quick_gelu, silu, softmax};

    use super::*;

    /// Values are rounded on the way in and out only, whatever part of them a thread takes at once.
    #[test]
    fn half_precision_is_storage() {
        let device = Device::flex();
        let vector = |name: &str, len: usize| Tensor::<1>::from_floats(random(name, len, 4.0).as_slice(), &device);
        type Function<'a> = &'a dyn Fn(Tensor<2>, [Tensor<1>; 2]) -> Tensor<2>;
        let functions: [(&str, Function); 6] = [
            ("silu", &|x, _| silu(x)),
            ("gelu", &|x, _| gelu(x)),
            ("quick gelu", &|x, _| quick_gelu(x)),
            ("geglu", &|x, _| geglu(x)),
            ("softmax", &|x, _| softmax(x)),
            ("layer norm", &|x, [gamma, beta]| layer_norm(x, gamma, beta, 1e-5)),
        ];
        for (name, function) in functions {
            for [rows, d] in [[1, 2], [5, 6], [33, 2048], [0, 6]] {
                for dtype in [DType::F16, DType::BF16] {
                    let x = vector("x", rows * d).reshape([rows, d]).cast(dtype);
                    let weights = ["gamma", "beta"].map(|name| vector(name, d).cast(dtype));
                    let wide = function(x.clone().cast(DType::F32), weights.clone().map(|w| w.cast(DType::F32)));
                    let found = function(x, weights);
                    assert_eq!(found.dtype(), dtype, "{name}");
                    found.into_data().assert_eq(&wide.cast(dtype).into_data(), true);
                }
            }
        }
    }
}
