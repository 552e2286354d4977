//! The gradient of a convolution's weights: for each place of the kernel and pair of channels, a sum over all positions.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::winograd_gradient;
use crate::gemm::{COLUMNS, Multiplier, Onto, Operand, ROWS};
use crate::simd::Level;

/// Positions at once: the packed gradient of 32 channels (32 values a position) stays in the first cache.
const DEPTH: usize = 192;
/// Parts of the batch that are summed on their own, and then added in order.
const PARTS: usize = 8;
/// The same where weights are as large as those of Stable Diffusion, and there may be few threads but must be memory.
const FEW_PARTS: usize = 2;
/// Weights that are large: 16 MiB.
const LARGE: usize = 1 << 22;

/// In how many parts a batch is summed, for this many weights.
pub(super) fn parts_of(weights: usize) -> usize {
    if weights > LARGE { FEW_PARTS } else { PARTS }
}

/// # Shapes
/// - x: `[batch, in_channels, input]`
/// - dy: `[batch, out_channels, output]`
/// - dw: `[out_channels, in_channels, kernel]`, overwritten
pub(super) fn weight_gradient(level: Level, geometry: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if winograd_gradient::pays(geometry) {
        return winograd_gradient::weight_gradient(level, geometry, x, dy, dw);
    }
    let depth = geometry.depth();
    // Rows of the outputs of the whole batch, one image after the other.
    let rows = geometry.batch * geometry.output[0];
    let at_once = (DEPTH / geometry.output[1].max(1)).max(1);
    let part = rows.div_ceil(parts_of(dw.len())).next_multiple_of(at_once).max(at_once);
    let starts: Vec<usize> = (0..rows).step_by(part).collect();
    let sums: Vec<Vec<f32>> = starts
        .into_par_iter()
        .map(|start| {
            let mut sums = Sums::new(geometry);
            for first in (start..rows.min(start + part)).step_by(at_once) {
                sums.add(level, x, dy, first..rows.min(start + part).min(first + at_once));
            }
            sums.sums
        })
        .collect();
    let pitch = geometry.out_channels.next_multiple_of(COLUMNS);
    dw.par_chunks_exact_mut(depth.max(1)).enumerate().for_each(|(channel, dw)| {
        for (i, dw) in dw.iter_mut().enumerate() {
            *dw = sums.iter().map(|sums| sums[i * pitch + channel]).sum();
        }
    });
}

/// The sums of one part, and room for what is packed of it.
struct Sums<'a> {
    geometry: &'a Geometry,
    /// `[in_channels * kernel, out_channels]`, rounded up to whole tiles.
    sums: Vec<f32>,
    /// For each row of the output and input channel, the rows of the input that the kernel covers, with their padding.
    inputs: Vec<f32>,
    /// The output's gradient with its channels innermost, 32 at a time.
    outputs: Vec<f32>,
}

impl<'a> Sums<'a> {
    fn new(geometry: &'a Geometry) -> Self {
        let pitch = geometry.out_channels.next_multiple_of(COLUMNS);
        let sums = vec![0.0; geometry.depth() * pitch];
        Self { geometry, sums, inputs: Vec::new(), outputs: Vec::new() }
    }

    /// Adds some rows of the output.
    fn add(&mut self, level: Level, x: &[f32], dy: &[f32], rows: std::ops::Range<usize>) {
        let &Geometry { in_channels, out_channels, output, kernel, stride, .. } = self.geometry;
        let width = (output[1] - 1) * stride[1] + kernel[1];
        let count = rows.len();
        self.pack_inputs(x, rows.clone(), width);
        self.pack_outputs(dy, rows);
        let starts: Vec<usize> = (0..count).map(|row| row * in_channels * kernel[0] * width).collect();
        let (depth, taps) = (self.geometry.depth(), self.geometry.taps());
        let place = |i: usize| {
            let (channel, tap) = (i / taps, i % taps);
            (channel * kernel[0] + tap / kernel[1]) * width + tap % kernel[1]
        };
        let pitch = out_channels.next_multiple_of(COLUMNS);
        for (panel, outputs) in self.outputs.chunks_exact(count * output[1] * COLUMNS).enumerate() {
            for row in (0..depth).step_by(ROWS) {
                let a = Operand {
                    data: &self.inputs,
                    rows: std::array::from_fn(|i| place((row + i).min(depth - 1))),
                    count: ROWS.min(depth - row),
                    starts: &starts,
                    run: output[1],
                    step: stride[1],
                };
                Multiplier::new(level).tile(
                    &a,
                    outputs,
                    &mut self.sums[row * pitch + panel * COLUMNS..],
                    pitch,
                    Onto::Sum,
                );
            }
        }
    }

    fn pack_inputs(&mut self, x: &[f32], rows: std::ops::Range<usize>, width: usize) {
        let &Geometry { in_channels, input, output, kernel, stride, padding, .. } = self.geometry;
        self.inputs.clear();
        self.inputs.resize(rows.len() * in_channels * kernel[0] * width, 0.0);
        let mut packed = self.inputs.chunks_exact_mut(width);
        // The part of a padded row that has values.
        let inside = padding[1].min(width)..(padding[1] + input[1]).min(width);
        for row in rows {
            let (image, y) = (row / output[0], row % output[0]);
            for channel in 0..in_channels {
                let channel = &x[(image * in_channels + channel) * self.geometry.in_size()..];
                for (k, packed) in (0..kernel[0]).zip(&mut packed) {
                    if let Some(y) = (y * stride[0] + k).checked_sub(padding[0]).filter(|&y| y < input[0]) {
                        packed[inside.clone()].copy_from_slice(&channel[y * input[1]..][..inside.len()]);
                    }
                }
            }
        }
    }

    fn pack_outputs(&mut self, dy: &[f32], rows: std::ops::Range<usize>) {
        let &Geometry { out_channels, output, .. } = self.geometry;
        let panel = rows.len() * output[1] * COLUMNS;
        self.outputs.clear();
        self.outputs.resize(out_channels.div_ceil(COLUMNS) * panel, 0.0);
        for channel in 0..out_channels {
            let packed = &mut self.outputs[channel / COLUMNS * panel + channel % COLUMNS..];
            let mut packed = packed.iter_mut().step_by(COLUMNS);
            for row in rows.clone() {
                let (image, y) = (row / output[0], row % output[0]);
                let dy = &dy[((image * out_channels + channel) * output[0] + y) * output[1]..][..output[1]];
                for (dy, packed) in dy.iter().zip(&mut packed) {
                    *packed = *dy;
                }
            }
        }
    }
}
