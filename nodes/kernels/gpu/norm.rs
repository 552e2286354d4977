//! Normalization of groups of values that lie side by side, on a GPU: group norm, and layer norm with one group a row.
//!
//! Burn makes one kernel of a norm's operators, in which one unit reads a whole group, three times. Of an outer layer of
//! Stable Diffusion 1.5 that is 32 units a picture with 40960 values each, where a GPU has thousands of them. Here a group
//! is a cube's, and all its units read it side by side.

use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::storage;

/// Cubes along one axis: Vulkan takes 65535 and no more.
const CUBES: usize = 1 << 15;

/// How values lie in groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    /// Values of a channel.
    pub size: usize,
    /// Channels of a group.
    pub depth: usize,
    /// Channels, each with a weight and a bias.
    pub channels: usize,
    /// What is added to a variance.
    pub epsilon: f32,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// Groups less their mean, over their deviation, in float32, times `gamma`, plus `beta`, and SiLU of that.
///
/// # Shapes
/// - x, output: any, of whole groups
/// - gamma, beta: `[channels]`
pub(super) fn normalized(x: CubeTensor, [gamma, beta]: [CubeTensor; 2], groups: Groups) -> CubeTensor {
    let [x, gamma, beta] = [x, gamma, beta].map(into_contiguous);
    let y = empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), x.meta.shape().clone(), x.dtype);
    let values = groups.size * groups.depth;
    let count = x.meta.num_elements() / values.max(1);
    if count == 0 || values == 0 {
        return y;
    }
    // The values of a vector are of one channel, or of one channel each.
    let along = if groups.size == 1 { groups.depth } else { groups.size };
    let client = x.client.clone();
    let width =
        client.io_optimized_vector_sizes(x.dtype.size()).find(|width| along.is_multiple_of(*width)).unwrap_or(1);
    let vectors = values / width;
    // Two sizes only: each is compiled. A power of two, for the sums.
    let most = client.properties().hardware.max_units_per_cube as usize;
    let units = if vectors > 512 { 512.min((most + 1).next_power_of_two() / 2) } else { 64 };
    let address = [&x, &gamma, &beta, &y].map(CubeTensor::required_address_type).into_iter().max().unwrap_or_default();
    let cubes = CubeCount::Static(count.min(CUBES) as u32, count.div_ceil(CUBES) as u32, 1);
    let dtypes = [storage(x.dtype), storage(gamma.dtype)];
    // SAFETY: a cube reads and writes the vectors of its own group, and a group's channels have weights.
    unsafe {
        normalize::launch_unchecked(
            &client,
            cubes,
            CubeDim::new_1d(units as u32),
            address,
            width,
            x.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            count,
            vectors,
            groups.size,
            groups.depth,
            groups.channels,
            groups.epsilon,
            units,
            groups.size == 1,
            groups.silu,
            dtypes,
        );
    }
    y
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn normalize<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    gamma: &Tensor<W>,
    beta: &Tensor<W>,
    y: &mut Tensor<Vector<F, N>>,
    count: usize,
    vectors: usize,
    size: usize,
    depth: usize,
    channels: usize,
    epsilon: f32,
    #[comptime] units: usize,
    #[comptime] channel_each: bool,
    #[comptime] silu: bool,
    #[define(F, W)] _dtypes: [ElemType; 2],
) {
    if CUBE_POS >= count {
        terminate!();
    }
    let width = N::value().comptime();
    let first = CUBE_POS * vectors;
    let unit = UNIT_POS as usize;
    let values = f32::cast_from(vectors * width);
    let mut shared = Shared::<[f32]>::new_slice(units);

    let mut sum = Vector::<f32, N>::zeroed();
    for i in range_stepped(unit, vectors, units) {
        sum += Vector::cast_from(x[first + i]);
    }
    let mean = total(sum.vector_sum(), &mut shared, units) / values;

    let mut squares = Vector::<f32, N>::zeroed();
    for i in range_stepped(unit, vectors, units) {
        let centered = Vector::<f32, N>::cast_from(x[first + i]) - Vector::new(mean);
        squares += centered * centered;
    }
    let deviation = f32::sqrt(total(squares.vector_sum(), &mut shared, units) / values + epsilon);

    let own = (CUBE_POS * depth) % channels;
    for i in range_stepped(unit, vectors, units) {
        let scaled = (Vector::<f32, N>::cast_from(x[first + i]) - Vector::new(mean)) / Vector::new(deviation);
        let mut out = Vector::<F, N>::zeroed();
        let place = i * width;
        #[unroll]
        for k in 0..width {
            let channel = if channel_each.comptime() { own + place + k } else { own + place / size };
            let value = scaled.extract(k) * f32::cast_from(gamma[channel]) + f32::cast_from(beta[channel]);
            let value = if silu.comptime() { value / (1.0 + f32::exp(-value)) } else { value };
            out.insert(k, F::cast_from(value));
        }
        y[first + i] = out;
    }
}

/// The sum of a value of each of a cube's units, always in the same order.
#[cube]
fn total(value: f32, shared: &mut Shared<[f32]>, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    // Whoever still reads the sum before this one does so first.
    sync_cube();
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for halved in 1..comptime!(units.ilog2() + 1) {
        let half = comptime!(units >> halved);
        if unit < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
        sync_cube();
    }
    shared[0]
}
