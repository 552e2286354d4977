//! The gradient of the weights of 3 x 3 by the transforms of [`super::winograd`], read backwards: the output's gradient
//! becomes `A dY A^T`, each of the 36 places a product of matrices over all tiles, and `G^T dU G` the gradient.
//!
//! The products run over tiles, so here it is channels that lie side by side.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::transform::{PLACES, SEEN, TILE, gradient, input, of_lanes, spread};
use super::weight_gradient::parts_of;
use crate::gemm::{COLUMNS, Multiplier, Onto, Operand, ROWS, height};
use crate::simd::Level;

/// Tiles at once, in whole rows of tiles: those of 32 channels stay in the first cache.
const DEPTH: usize = 128;

/// Whether it pays, as for [`super::winograd`].
pub(super) fn pays(geometry: &Geometry) -> bool {
    let tiles = geometry.batch * geometry.output.map(|size| size.div_ceil(TILE)).iter().product::<usize>();
    let square = geometry.kernel == [3, 3] && geometry.stride == [1, 1];
    let (channels, rows) = (geometry.in_channels, geometry.out_channels);
    let direct = channels * rows * geometry.taps() * geometry.batch * geometry.out_size();
    square && channels * rows * (PLACES * tiles + 2000) + 800 * tiles * (channels + rows) < direct
}

/// As [`super::weight_gradient`]'s.
pub(super) fn weight_gradient(level: Level, geometry: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let &Geometry { batch, in_channels, out_channels, output, .. } = geometry;
    let [down, across] = output.map(|size| size.div_ceil(TILE));
    let rows = batch * down;
    let at_once = (DEPTH / across).max(1);
    let part = rows.div_ceil(parts_of(dw.len())).next_multiple_of(at_once);
    let starts: Vec<usize> = (0..rows).step_by(part).collect();
    let panels = in_channels.div_ceil(COLUMNS);
    let sums: Vec<Vec<f32>> = starts
        .into_par_iter()
        .map(|start| {
            let mut work = Work {
                level,
                geometry,
                down,
                across,
                panels,
                height: height(level),
                sums: vec![0.0; PLACES * panels * out_channels * COLUMNS],
                inputs: Vec::new(),
                outputs: Vec::new(),
            };
            let end = rows.min(start + part);
            for first in (start..end).step_by(at_once) {
                work.add(x, dy, first..end.min(first + at_once));
            }
            work.sums
        })
        .collect();
    dw.par_chunks_exact_mut(in_channels * 9).enumerate().for_each(|(row, dw)| {
        let mut places = [[0.0_f32; COLUMNS]; PLACES];
        for (panel, dw) in dw.chunks_mut(COLUMNS * 9).enumerate() {
            for (place, values) in places.iter_mut().enumerate() {
                *values = [0.0; COLUMNS];
                let at = ((place * panels + panel) * out_channels + row) * COLUMNS;
                for sums in &sums {
                    values.iter_mut().zip(&sums[at..]).for_each(|(value, sum)| *value += sum);
                }
            }
            let mut rows = [[[0.0_f32; COLUMNS]; SEEN]; 3];
            for column in 0..SEEN {
                let place = |row: usize| &places[SEEN * row + column];
                let found = of_lanes([place(0), place(1), place(2), place(3), place(4), place(5)], gradient);
                rows.iter_mut().zip(found).for_each(|(row, found)| row[column] = found);
            }
            for (r, row) in rows.iter().enumerate() {
                let found = of_lanes(row.each_ref(), gradient);
                for (i, dw) in dw.chunks_exact_mut(9).enumerate() {
                    for (dw, found) in dw[3 * r..].iter_mut().zip(&found) {
                        *dw = found[i];
                    }
                }
            }
        }
    });
}

/// The sums of one part, and room for what is transformed of it.
struct Work<'a> {
    level: Level,
    geometry: &'a Geometry,
    down: usize,
    across: usize,
    /// Of 32 input channels.
    panels: usize,
    height: usize,
    /// `[36, panels, out_channels, 32]`
    sums: Vec<f32>,
    /// `[36, panels, tiles, 32]`
    inputs: Vec<f32>,
    /// `[36, out_channels / height, tiles, height]`
    outputs: Vec<f32>,
}

impl Work<'_> {
    /// Adds some rows of tiles.
    fn add(&mut self, x: &[f32], dy: &[f32], rows: Range<usize>) {
        let &Geometry { in_channels, out_channels, input, output, padding, .. } = self.geometry;
        let (down, across, height) = (self.down, self.across, self.height);
        let tiles = rows.len() * across;
        let stripes = out_channels.div_ceil(height);
        self.inputs.resize(PLACES * self.panels * tiles * COLUMNS, 0.0);
        self.outputs.resize(PLACES * stripes * tiles * height, 0.0);
        let corner = padding.map(|padding| -(padding as isize));
        let common = Strips { rows, down, across, ..Strips::default() };
        let inputs = Strips { images: x, channels: in_channels, size: input, corner, ..common.clone() };
        self.level.run(Transform { strips: inputs, lanes: COLUMNS, of_output: false, into: &mut self.inputs });
        let outputs = Strips { images: dy, channels: out_channels, size: output, ..common };
        self.level.run(Transform { strips: outputs, lanes: height, of_output: true, into: &mut self.outputs });
        for place in 0..PLACES {
            let left = &self.outputs[place * stripes * tiles * height..][..stripes * tiles * height];
            for panel in 0..self.panels {
                let at = place * self.panels + panel;
                let right = &self.inputs[at * tiles * COLUMNS..][..tiles * COLUMNS];
                let sums = &mut self.sums[at * out_channels * COLUMNS..][..out_channels * COLUMNS];
                for (i, sums) in sums.chunks_mut(ROWS * COLUMNS).enumerate() {
                    let left = Operand::of_stripes(left, [height, tiles * height], tiles, i * ROWS, out_channels);
                    Multiplier::new(self.level).tile(&left, right, sums, COLUMNS, Onto::Sum);
                }
            }
        }
    }
}

/// Rows of tiles of images.
#[derive(Clone, Default)]
struct Strips<'a> {
    /// `[batch, channels, size]`
    images: &'a [f32],
    channels: usize,
    size: [usize; 2],
    /// Where the first tile of an image begins.
    corner: [isize; 2],
    /// Of `[batch, down]`.
    rows: Range<usize>,
    down: usize,
    across: usize,
}

/// The places of tiles with some channels, `lanes`, side by side: `[36, channels / lanes, tiles, lanes]`.
struct Transform<'a> {
    strips: Strips<'a>,
    lanes: usize,
    /// `A dY A^T` of tiles of 4 x 4, not `B^T d B` of 6 x 6.
    of_output: bool,
    into: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match (self.of_output, self.lanes) {
            (false, _) => self.tiles::<COLUMNS, SEEN>(input),
            (true, 8) => self.tiles::<8, TILE>(spread),
            (true, 6) => self.tiles::<6, TILE>(spread),
            (true, _) => self.tiles::<2, TILE>(spread),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Transform<'_> {
    /// Of tiles that see `SIDE x SIDE` values.
    #[inline(always)]
    fn tiles<const N: usize, const SIDE: usize>(self, transform: impl Fn([f32; SIDE]) -> [f32; SEEN]) {
        let Self {
            strips: Strips { images, channels, size: [height, width], corner, rows, down, across }, into, ..
        } = self;
        let groups = channels.div_ceil(N);
        let count = rows.len() * across;
        let wide = TILE * across + SIDE - TILE;
        // The values of one row of tiles, channels side by side.
        let mut strip = vec![[0.0_f32; N]; SIDE * wide];
        let into = into.as_chunks_mut::<N>().0;
        for group in 0..groups {
            let own = group * N..channels.min((group + 1) * N);
            for (i, row) in rows.clone().enumerate() {
                let (image, y) = (row / down, (TILE * (row % down)) as isize + corner[0]);
                let x = corner[1].min(0).unsigned_abs();
                // Columns of the strip that lie in the image, and where they begin in it.
                let inside = x..wide.min((width as isize - corner[1]).max(x as isize) as usize);
                let begin = corner[1].max(0) as usize;
                for (r, strip) in strip.chunks_exact_mut(wide).enumerate() {
                    let Some(y) = usize::try_from(y + r as isize).ok().filter(|y| *y < height) else {
                        strip.fill([0.0; N]);
                        continue;
                    };
                    for (lane, channel) in own.clone().enumerate() {
                        let values = &images[((image * channels + channel) * height + y) * width + begin..];
                        for (strip, value) in strip[inside.clone()].iter_mut().zip(values) {
                            strip[lane] = *value;
                        }
                    }
                    // (What the image's end cuts off stays zero.)
                }
                for tx in 0..across {
                    let tile = group * count + i * across + tx;
                    let mut across_rows = [[[0.0_f32; N]; SIDE]; SEEN];
                    for (r, line) in strip.chunks_exact(wide).enumerate() {
                        let line = &line[TILE * tx..][..SIDE];
                        for lane in 0..N {
                            let mut values = [0.0; SIDE];
                            for (value, line) in values.iter_mut().zip(line) {
                                *value = line[lane];
                            }
                            let found = transform(values);
                            for (to, found) in across_rows.iter_mut().zip(found) {
                                to[r][lane] = found;
                            }
                        }
                    }
                    for (column, lines) in across_rows.iter().enumerate() {
                        let mut found = [[0.0_f32; N]; SEEN];
                        for lane in 0..N {
                            let mut values = [0.0; SIDE];
                            for (value, line) in values.iter_mut().zip(lines) {
                                *value = line[lane];
                            }
                            for (to, found) in found.iter_mut().zip(transform(values)) {
                                to[lane] = found;
                            }
                        }
                        for (r, found) in found.into_iter().enumerate() {
                            into[(SEEN * r + column) * groups * count + tile] = found;
                        }
                    }
                }
            }
        }
    }
}
