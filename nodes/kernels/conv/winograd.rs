//! Convolutions of 3 x 3 with 36 multiplications in the place of 144: Winograd's minimal filtering F(4x4, 3x3) (Lavin and
//! Gray, "Fast algorithms for convolutional neural networks", 2016).
//!
//! The output is cut into tiles of 4 x 4. The 6 x 6 values that a tile sees of a channel become 36 others, `B^T d B`; the
//! weights of a pair of channels do once, `G g G^T`. Each of the 36 places is then a product of matrices of its own,
//! over the channels, and `A^T m A` makes a tile of the 36 sums.
//!
//! The values are those of polynomials at 0, infinity, and four points. With the usual ones, 1 and 2, rounding errors are
//! two to four times those of plain sums. At 1/sqrt(2) and sqrt(2) the factors are closer to 1, and in float32 random sums of
//! 640 channels have a root mean square error of 1.29e-6 of theirs, beside 2.68e-6 with the usual points and 1.38e-6
//! without a transform; of 64 channels 8.3e-7, 1.67e-6 and 4.4e-7.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::transform::{Inputs, Outputs, PLACES, TILE, Tiles, Weights};
use super::windows::Windows;
use crate::gemm::{COLUMNS, Costs, Multiplier, Onto, Operand, ROWS, Tasks, height};
use crate::simd::{Level, Number};

/// Transformed values at once, of some tiles and all channels: they stay in the last cache.
const AT_ONCE: usize = 1 << 20;
/// But at least so many times 32 tiles, or transforming all weights for them would show.
const FEWEST: usize = 4;
/// Channels at once: those of 32 tiles and of a stripe of weights stay in the first cache.
const DEPTH: usize = 192;
/// Values between the places, which would otherwise lie in the same few lines of a cache.
const GAP: usize = 16;
/// A weight is turned and transformed (by a count of instructions); the tiles are there.
const COSTS: Costs = Costs { left: 8, right: 1, height: ROWS };

/// Windows that see 3 x 3 values beside each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Square {
    /// Where the first of the nine is, from a position.
    corner: [isize; 2],
    /// Where in the weights of a channel each of the nine is.
    order: [usize; 9],
}

impl Square {
    /// Those of windows without a stride, where it pays to transform in the place of products at this level.
    pub(super) fn of<T>(level: Level, windows: &Windows<T>, rows: usize) -> Option<Self> {
        let (first, last) = (*windows.taps.iter().min()?, *windows.taps.iter().max()?);
        let square = windows.taps.len() == 9 && [last[0] - first[0], last[1] - first[1]] == [2, 2];
        if !square || windows.stride != [1, 1] || !pays(level, windows.batch, windows.grid, [windows.channels, rows]) {
            return None;
        }
        let mut order = [usize::MAX; 9];
        for (i, tap) in windows.taps.iter().enumerate() {
            order[((tap[0] - first[0]) * 3 + tap[1] - first[1]) as usize] = i;
        }
        (!order.contains(&usize::MAX)).then_some(Self { corner: first, order })
    }
}

/// Whether the multiplications that are saved for each pair of channels are more than what transforming tiles and weights
/// costs. In multiplications of float32, roughly: by the profile of a convolution of large images with AVX-512.
fn pays(level: Level, batch: usize, grid: [usize; 2], [channels, rows]: [usize; 2]) -> bool {
    let tiles = batch * grid.map(|size| size.div_ceil(TILE)).iter().product::<usize>();
    let direct = channels * rows * 9 * (batch * grid[0] * grid[1] + 30) / level.multiplications_at_once();
    let products = channels * rows * PLACES * (tiles.next_multiple_of(COLUMNS) + COSTS.left);
    products + tiles * (900 * channels + 700 * rows) < direct
}

/// Weights `[rows, channels, 9]` times the windows, and a bias for each row, as [`super::windows::product`].
pub(super) fn product<T: Number>(
    level: Level,
    windows: &Windows<T>,
    square: Square,
    weights: &[T],
    bias: Option<&[f32]>,
    y: &mut [T],
) {
    let level = level.of_singles();
    let &Windows { batch, channels, grid, .. } = windows;
    let rows = y.len() / (batch * grid[0] * grid[1]);
    let [down, across] = grid.map(|size| size.div_ceil(TILE));
    let tiles = batch * down * across;
    let depth = channels.div_ceil(channels.div_ceil(DEPTH));
    let pitch = depth * COLUMNS + GAP;
    let y = Shared(y.as_mut_ptr());
    let work = Work { level, windows, square, weights, bias, rows, tiles, down, across, depth, pitch, y };
    let part = PLACES * pitch;
    let (panels, blocks) = (tiles.div_ceil(COLUMNS), channels.div_ceil(depth));
    let at_once = (AT_ONCE / (blocks * part)).max(FEWEST).min(panels);
    let mut inputs = INPUTS.take();
    inputs.resize(inputs.len().max(at_once * blocks * part), 0.0);
    for first in (0..panels).step_by(at_once) {
        let count = at_once.min(panels - first);
        inputs.par_chunks_exact_mut(part).take(count * blocks).enumerate().for_each(|(i, into)| {
            work.transform(first + i / blocks, i % blocks, into);
        });
        let Tasks { band, stretch, bands, stretches } = Tasks::of(rows, count, rayon::current_num_threads(), COSTS);
        (0..bands * stretches).into_par_iter().for_each(|task| {
            let (top, at) = (task / stretches * band, task % stretches * stretch);
            let panels = first + at..first + count.min(at + stretch);
            let mut room = ROOM.take();
            work.multiply(&mut room, &inputs[at * blocks * part..], panels, top..rows.min(top + band));
            ROOM.set(room);
        });
    }
    INPUTS.set(inputs);
}

thread_local! {
    // Kept, as memory from the system comes filled with zeros, which takes a tenth of the time of a convolution.
    /// `[panels, blocks of channels, 36, depth, 32]`
    static INPUTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static ROOM: Cell<Room> = Cell::default();
}

/// What a task transforms, and its products.
#[derive(Default)]
struct Room {
    lines: [Vec<f32>; 2],
    /// `[36, rows / height, depth, height]`
    weights: Vec<f32>,
    /// `[panels, 36, rows, 32]`
    sums: Vec<f32>,
}

/// The output, of which each task writes its own tiles.
struct Shared<T>(*mut T);
// SAFETY: tasks write to disjoint tiles, and no one reads before all are done.
unsafe impl<T> Sync for Shared<T> {}

struct Work<'a, T> {
    level: Level,
    windows: &'a Windows<'a, T>,
    square: Square,
    weights: &'a [T],
    bias: Option<&'a [f32]>,
    rows: usize,
    tiles: usize,
    down: usize,
    across: usize,
    /// Channels of a block.
    depth: usize,
    /// Values from a place of the inputs to the next.
    pitch: usize,
    y: Shared<T>,
}

impl<T: Number> Work<'_, T> {
    /// The tiles of a panel.
    fn panel(&self, panel: usize) -> Tiles {
        let own = panel * COLUMNS..self.tiles.min((panel + 1) * COLUMNS);
        Tiles { own, down: self.down, across: self.across }
    }

    fn block(&self, block: usize) -> Range<usize> {
        block * self.depth..self.windows.channels.min((block + 1) * self.depth)
    }

    /// Of a panel, the channels of a block: `[36, depth, 32]`.
    fn transform(&self, panel: usize, block: usize, into: &mut [f32]) {
        let &Windows { images, channels, size, .. } = self.windows;
        let (tiles, corner, pitch) = (self.panel(panel), self.square.corner, self.pitch);
        self.level.run(Inputs { tiles, images, channels, size, corner, own: self.block(block), into, pitch });
    }

    /// Some rows of the tiles of some panels, of which `inputs` are `[panels, blocks, 36, depth, 32]`.
    fn multiply(&self, room: &mut Room, inputs: &[f32], panels: Range<usize>, rows: Range<usize>) {
        let (height, count) = (height(self.level), rows.len());
        let multiplier = Multiplier::new(self.level);
        let sum_pitch = count * COLUMNS + GAP;
        let sums = panels.len() * PLACES * sum_pitch;
        room.sums.resize(room.sums.len().max(sums), 0.0);
        let blocks = self.windows.channels.div_ceil(self.depth);
        for block in 0..blocks {
            let own = self.block(block);
            let depth = own.len();
            let weight_pitch = count.next_multiple_of(height) * depth + GAP;
            room.weights.resize(room.weights.len().max(PLACES * weight_pitch), 0.0);
            self.level.run(Weights {
                weights: self.weights,
                channels: self.windows.channels,
                order: self.square.order,
                rows: rows.clone(),
                own,
                into: &mut room.weights[..PLACES * weight_pitch],
                height,
                room: &mut room.lines,
            });
            let onto = if block == 0 { Onto::Nothing } else { Onto::Sum };
            for (panel, sums) in room.sums[..sums].chunks_exact_mut(PLACES * sum_pitch).enumerate() {
                let inputs = &inputs[(panel * blocks + block) * PLACES * self.pitch..];
                let places = sums.chunks_exact_mut(sum_pitch).zip(room.weights.chunks_exact(weight_pitch));
                for ((sums, left), right) in places.zip(inputs.chunks_exact(self.pitch)) {
                    for (i, sums) in sums[..count * COLUMNS].chunks_mut(ROWS * COLUMNS).enumerate() {
                        let left = Operand::of_stripes(left, [height, depth * height], depth, i * ROWS, count);
                        multiplier.tile(&left, right, sums, COLUMNS, onto);
                    }
                }
            }
        }
        for (panel, sums) in panels.zip(room.sums.chunks_exact(PLACES * sum_pitch)) {
            self.level.run(Outputs {
                tiles: self.panel(panel),
                sums,
                rows: rows.clone(),
                all_rows: self.rows,
                bias: self.bias,
                grid: self.windows.grid,
                y: self.y.0,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Convolutions of Stable Diffusion 1.5: at the innermost size there are many weights for few tiles.
    #[test]
    fn large_images_are_transformed_and_small_ones_are_not() {
        for level in Level::available().into_iter().chain(Level::for_pairs()) {
            // Registers for matrices multiply faster than transforming saves.
            let fast = level.multiplications_at_once() > 2;
            assert_eq!(pays(level, 1, [64, 64], [320, 320]), !fast, "{level:?}");
            assert_eq!(pays(level, 1, [32, 32], [640, 640]), !fast, "{level:?}");
            assert!(!pays(level, 1, [8, 8], [1280, 1280]), "{level:?}");
        }
    }
}
