//! The windows of a convolution, laid out as columns, on a GPU.

use burn::tensor::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use super::storage;

/// Which windows of a picture; each pair is down, then across.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros above and left of the picture.
    pub before: [usize; 2],
    /// The first row of windows.
    pub first: usize,
    /// Rows of windows, and windows of a row.
    pub count: [usize; 2],
}

impl Windows {
    /// `[batch, channels * kernel_height * kernel_width, rows * out_width]`, of a picture `[batch, channels, height, width]`.
    pub(super) fn shape(&self, picture: &Shape) -> Shape {
        let places: usize = self.kernel.iter().product();
        Shape::new([picture[0], picture[1] * places, self.count[0] * self.count[1]])
    }
}

/// Each value of a window as a row, in the order of a weight's: channel, then place; each window as a column.
///
/// # Shapes
/// - x: `[batch, channels, height, width]`
/// - output: [`Windows::shape`]
pub(super) fn laid_out(x: CubeTensor, windows: Windows) -> CubeTensor {
    let x = into_contiguous(x);
    let shape = windows.shape(x.meta.shape());
    let y = empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), shape, x.dtype);
    let client = x.client.clone();
    let across = windows.count[1];
    let width =
        client.io_optimized_vector_sizes(x.dtype.size()).find(|width| across.is_multiple_of(*width)).unwrap_or(1);
    let vectors = y.meta.num_elements() / width;
    if vectors == 0 {
        return y;
    }
    let [height, x_width] = [2, 3].map(|axis| x.meta.shape()[axis]);
    let dim = CubeDim::new(&client, vectors);
    let address = x.required_address_type().max(y.required_address_type());
    let dtype = storage(x.dtype);
    // SAFETY: units past the last vector do nothing, and values outside of the picture are not read.
    unsafe {
        lay_out::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, vectors, dim),
            dim,
            address,
            width,
            x.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            vectors,
            PlacesLaunch::new(
                height,
                x_width,
                windows.kernel[0],
                windows.kernel[1],
                windows.stride[0],
                windows.stride[1],
                windows.before[0],
                windows.before[1],
                windows.first,
                windows.count[0],
                across,
            ),
            dtype,
        );
    }
    y
}

#[derive(CubeLaunch, CubeType)]
struct Places {
    height: usize,
    width: usize,
    kernel_height: usize,
    kernel_width: usize,
    stride_down: usize,
    stride_across: usize,
    above: usize,
    left: usize,
    first: usize,
    rows: usize,
    across: usize,
}

/// A unit writes a vector: the same value of windows side by side.
#[cube(launch_unchecked, address_type = "dynamic")]
fn lay_out<F: Float, N: Size>(
    x: &Tensor<F>,
    y: &mut Tensor<Vector<F, N>>,
    vectors: usize,
    places: &Places,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= vectors {
        terminate!();
    }
    let width = N::value().comptime();
    let rest = ABSOLUTE_POS * width;
    let (across, rest) = (rest % places.across, rest / places.across);
    let (down, rest) = (rest % places.rows, rest / places.rows);
    let (place_across, rest) = (rest % places.kernel_width, rest / places.kernel_width);
    // What is left is channel and row of the batch, as in the picture.
    let (place_down, plane) = (rest % places.kernel_height, rest / places.kernel_height);
    let row = (places.first + down) * places.stride_down + place_down;
    let row_is_inside = row >= places.above && row < places.above + places.height;
    let mut out = Vector::<F, N>::zeroed();
    if row_is_inside {
        let first = (plane * places.height + row - places.above) * places.width;
        #[unroll]
        for k in 0..width {
            let column = (across + k) * places.stride_across + place_across;
            if column >= places.left && column < places.left + places.width {
                out.insert(k, x[first + column - places.left]);
            }
        }
    }
    y[ABSOLUTE_POS] = out;
}
