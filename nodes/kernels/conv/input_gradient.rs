//! The gradient of a convolution's input: convolutions of the output's gradient.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::windows::{Windows, product};
use crate::simd::Level;

/// # Shapes
/// - weight: `[out_channels, in_channels, kernel]`
/// - dy: `[batch, out_channels, output]`
/// - dx: `[batch, in_channels, input]`, overwritten
pub(super) fn input_gradient(level: Level, geometry: &Geometry, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let [vertical, horizontal] = geometry.stride;
    for remainder in (0..vertical).flat_map(|y| (0..horizontal).map(move |x| [y, x])) {
        positions_of(level, geometry, remainder, weight, dy, dx);
    }
}

/// The gradient at the positions that leave this remainder when divided by the stride. Only each `stride`-th row and
/// column of the kernel has touched them, and seen from one of them to the next the output moves by one.
fn positions_of(level: Level, geometry: &Geometry, remainder: [usize; 2], weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let &Geometry { batch, in_channels, out_channels, input, output, kernel, stride, padding } = geometry;
    let along = |axis: usize| -> Vec<(usize, isize)> {
        let stride = stride[axis] as isize;
        let touched = (0..kernel[axis]).filter_map(|k| {
            let distance = (remainder[axis] + padding[axis]) as isize - k as isize;
            (distance.rem_euclid(stride) == 0).then_some((k, distance.div_euclid(stride)))
        });
        touched.collect()
    };
    let columns = along(1);
    let places: Vec<([usize; 2], [isize; 2])> =
        along(0).iter().flat_map(|&(y, dy)| columns.iter().map(move |&(x, dx)| ([y, x], [dy, dx]))).collect();
    let taps: Vec<[isize; 2]> = places.iter().map(|&(_, tap)| tap).collect();
    let mut turned = Vec::with_capacity(in_channels * out_channels * taps.len());
    for i in 0..in_channels {
        for o in 0..out_channels {
            let of = &weight[(o * in_channels + i) * geometry.taps()..];
            turned.extend(places.iter().map(|([y, x], _)| of[y * kernel[1] + x]));
        }
    }
    let grid: [usize; 2] =
        std::array::from_fn(|axis| input[axis].saturating_sub(remainder[axis]).div_ceil(stride[axis]));
    let windows =
        Windows { images: dy, batch, channels: out_channels, size: output, grid, stride: [1, 1], taps: &taps };
    if stride == [1, 1] {
        return product(level, &windows, &turned, None, dx);
    }
    let mut found = vec![0.0; batch * in_channels * grid[0] * grid[1]];
    if !turned.is_empty() {
        product(level, &windows, &turned, None, &mut found);
    }
    if found.is_empty() {
        return;
    }
    dx.par_chunks_exact_mut(geometry.in_size()).zip(found.par_chunks_exact(grid[0] * grid[1])).for_each(
        |(dx, found)| {
            let rows = dx.chunks_exact_mut(input[1]).skip(remainder[0]).step_by(stride[0]);
            for (row, found) in rows.zip(found.chunks_exact(grid[1])) {
                for (dx, found) in row.iter_mut().skip(remainder[1]).step_by(stride[1]).zip(found) {
                    *dx = *found;
                }
            }
        },
    );
}
