//! Convolutions of 3 x 3 with 16 multiplications in the place of 36: Winograd's minimal filtering F(2x2, 3x3) (Lavin and
//! Gray, "Fast algorithms for convolutional neural networks", 2016).
//!
//! The output is cut into tiles of 2 x 2. The 4 x 4 values that a tile sees of a channel become 16 others, `B^T d B`; the
//! weights of a pair of channels do once, `G g G^T`. Each of the 16 places is then a product of matrices of its own,
//! over the channels, and `A^T m A` makes a tile of the 16 sums. All factors are 1 and 1/2, so that rounding errors are
//! those of a few more additions.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::transform::{Inputs, Outputs, PLACES, Tiles, Weights};
use super::windows::Windows;
use crate::gemm::{COLUMNS, Multiplier, Onto, Operand, ROWS, height};
use crate::simd::Level;

/// Tiles at once, in whole tiles of columns: what becomes of them stays in the outer caches.
const AT_ONCE: usize = 2 * COLUMNS;
/// Channels at once: those of 32 tiles stay in the first cache.
const DEPTH: usize = 192;
/// Values between the places, which would otherwise lie in the same few lines of a cache.
const GAP: usize = 16;

/// Windows that see 3 x 3 values beside each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Square {
    /// Where the first of the nine is, from a position.
    corner: [isize; 2],
    /// Where in the weights of a channel each of the nine is.
    order: [usize; 9],
}

impl Square {
    /// Those of windows without a stride, where it pays to transform.
    pub(super) fn of(windows: &Windows, rows: usize) -> Option<Self> {
        let (first, last) = (*windows.taps.iter().min()?, *windows.taps.iter().max()?);
        let square = windows.taps.len() == 9 && [last[0] - first[0], last[1] - first[1]] == [2, 2];
        let tiles = windows.batch * windows.grid.iter().map(|size| size.div_ceil(2)).product::<usize>();
        if !square || windows.stride != [1, 1] || !pays(tiles, windows.channels, rows) {
            return None;
        }
        let mut order = [usize::MAX; 9];
        for (i, tap) in windows.taps.iter().enumerate() {
            order[((tap[0] - first[0]) * 3 + tap[1] - first[1]) as usize] = i;
        }
        (!order.contains(&usize::MAX)).then_some(Self { corner: first, order })
    }
}

/// Whether the 20 of 36 multiplications that are saved for each tile and pair of channels are more than what transforming
/// tiles and weights costs. Measured with AVX2, in multiplications.
fn pays(tiles: usize, channels: usize, rows: usize) -> bool {
    20 * tiles * channels * rows > 150 * tiles * (channels + rows) + 500 * channels * rows
}

/// The same for the gradient of the weights.
pub(super) fn pays_backwards(geometry: &Geometry) -> bool {
    let tiles = geometry.batch * geometry.output.map(|size| size.div_ceil(2)).iter().product::<usize>();
    let square = geometry.kernel == [3, 3] && geometry.stride == [1, 1];
    square && pays(tiles, geometry.in_channels, geometry.out_channels)
}

/// Weights `[rows, channels, 9]` times the windows, and a bias for each row, as [`super::windows::product`].
pub(super) fn product(
    level: Level,
    windows: &Windows,
    square: Square,
    weights: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let &Windows { batch, channels, grid, .. } = windows;
    let rows = y.len() / (batch * grid[0] * grid[1]);
    let [down, across] = grid.map(|size| size.div_ceil(2));
    let tiles = batch * down * across;
    let filters = Filters::new(level, weights, square.order, [rows, channels]);
    let corner = square.corner;
    let work = Work { level, windows, corner, filters, bias, rows, down, across, y: Shared(y.as_mut_ptr()) };
    (0..tiles.div_ceil(AT_ONCE)).into_par_iter().for_each_init(Room::default, |room, i| {
        work.run(room, i * AT_ONCE..tiles.min((i + 1) * AT_ONCE));
    });
}

/// The transformed weights: `[channels / depth, rows / height, 16, depth, height]`.
struct Filters {
    values: Vec<f32>,
    height: usize,
    depth: usize,
}

impl Filters {
    fn new(level: Level, weights: &[f32], order: [usize; 9], [rows, channels]: [usize; 2]) -> Self {
        let (height, depth) = (height(level), channels.div_ceil(channels.div_ceil(DEPTH)));
        let stripes = rows.div_ceil(height);
        let size = PLACES * depth * height;
        let mut values = vec![0.0; channels.div_ceil(depth) * stripes * size];
        values.par_chunks_exact_mut(size).enumerate().for_each(|(i, into)| {
            let (first, row) = (i / stripes * depth, i % stripes * height);
            let own = first..channels.min(first + depth);
            level.run(Weights { weights, channels, order, rows: row..rows.min(row + height), own, into, height });
        });
        Self { values, height, depth }
    }

    /// Rows from `row` on of a place, for `count` channels from `first` on.
    fn operand(&self, [first, count]: [usize; 2], place: usize, row: usize, rows: usize) -> Operand<'_> {
        let size = self.depth * self.height;
        let data = &self.values[first / self.depth * rows.div_ceil(self.height) * PLACES * size + place * size..];
        Operand::of_stripes(data, [self.height, PLACES * size], count, row, rows)
    }
}

/// What a task transforms.
#[derive(Default)]
struct Room {
    /// `[16, tiles / 32, depth, 32]`
    inputs: Vec<f32>,
    /// `[16, tiles / 32, rows, 32]`
    sums: Vec<f32>,
}

/// The output, of which each task writes its own tiles.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks write to disjoint tiles, and no one reads before all are done.
unsafe impl Sync for Shared {}

struct Work<'a> {
    level: Level,
    windows: &'a Windows<'a>,
    corner: [isize; 2],
    filters: Filters,
    bias: Option<&'a [f32]>,
    rows: usize,
    down: usize,
    across: usize,
    y: Shared,
}

impl Work<'_> {
    fn run(&self, room: &mut Room, own: Range<usize>) {
        let &Windows { images, channels, size, grid, .. } = self.windows;
        let (rows, depth) = (self.rows, self.filters.depth);
        let panels = own.len().div_ceil(COLUMNS);
        let input_pitch = [panels * depth * COLUMNS + GAP, depth * COLUMNS];
        let sum_pitch = panels * rows * COLUMNS + GAP;
        room.inputs.resize(PLACES * input_pitch[0], 0.0);
        room.sums.resize(PLACES * sum_pitch, 0.0);
        let tiles = Tiles { own, down: self.down, across: self.across };
        for first in (0..channels).step_by(depth) {
            let count = depth.min(channels - first);
            self.level.run(Inputs {
                tiles: tiles.clone(),
                images,
                channels,
                size,
                corner: self.corner,
                own: first..first + count,
                into: &mut room.inputs,
                pitch: input_pitch,
            });
            let onto = if first == 0 { Onto::Nothing } else { Onto::Sum };
            for place in 0..PLACES {
                for panel in 0..panels {
                    let right = &room.inputs[place * input_pitch[0] + panel * input_pitch[1]..];
                    let sums = &mut room.sums[place * sum_pitch + panel * rows * COLUMNS..][..rows * COLUMNS];
                    for (i, sums) in sums.chunks_mut(ROWS * COLUMNS).enumerate() {
                        let left = self.filters.operand([first, count], place, i * ROWS, rows);
                        Multiplier::new(self.level).tile(&left, right, sums, COLUMNS, onto);
                    }
                }
            }
        }
        let (bias, y) = (self.bias, self.y.0);
        self.level.run(Outputs { tiles, sums: &room.sums, pitch: sum_pitch, rows, bias, grid, y });
    }
}
