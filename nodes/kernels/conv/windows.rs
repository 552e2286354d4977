//! The product of weights with the windows of images.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::winograd::{self, Square};
use crate::array::{Output, filled};
use crate::gemm::{
    COLUMNS, Costs, HALF, HEIGHT, Left, Matrix, Multiplier, Onto, Operand, Packing, ROWS, Target, Tasks,
};
use crate::simd::{Level, rounded};

/// Steps over the depth at once: the packed columns (32 values a step) and a stripe of weights stay in the first cache.
const DEPTH: usize = 192;
/// Weights come from memory and are turned, windows mostly lie in the cache as they are read.
const COSTS: Costs = Costs { left: 30, right: 8, height: HEIGHT };

/// Windows of images: each position `(y, x)` of a grid sees, of every channel, the values at
/// `(y * stride + tap, x * stride + tap)`, which are zero outside.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a, T> {
    /// `[batch, channels, size]`
    pub(super) images: &'a [T],
    pub(super) batch: usize,
    pub(super) channels: usize,
    /// Height and width of the images.
    pub(super) size: [usize; 2],
    /// Height and width of the grid.
    pub(super) grid: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Where a window looks, from its position.
    pub(super) taps: &'a [[isize; 2]],
}

/// Weights `[rows, channels * taps]` times the windows, and a bias for each row.
///
/// # Shapes
/// - weights: `[rows, channels, taps]`
/// - bias: `[rows]`
/// - y: `[batch, rows, grid]`, overwritten
pub(super) fn product(level: Level, windows: &Windows<f32>, weights: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let Some(rows) = windows.rows(weights.len(), y.len()) else { return };
    if let Some(square) = Square::of(level, windows, rows) {
        return winograd::product(level, windows, square, weights, bias, y);
    }
    let weights = Matrix { values: weights, row: windows.channels * windows.taps.len(), column: 1 };
    direct(level, windows, Weights::Singles(weights), bias, Output::Singles(y));
}

/// [`product`] of bfloat16s, on a level that takes pairs of them, which here are those of an even number of channels.
pub(super) fn product_of_halves(
    level: Level,
    windows: &Windows<u16>,
    weights: &[u16],
    bias: Option<&[f32]>,
    y: &mut [u16],
) {
    assert!(level.takes_pairs() && windows.channels.is_multiple_of(2), "{} channels on {level:?}", windows.channels);
    let Some(rows) = windows.rows(weights.len(), y.len()) else { return };
    if let Some(square) = Square::of(level, windows, rows) {
        return winograd::product(level, windows, square, weights, bias, y);
    }
    let &Windows { images, batch, channels, size, grid, stride, taps } = windows;
    let images = &pairs_of_channels(images, size[0] * size[1]);
    let windows = Windows { images, batch, channels: channels / 2, size, grid, stride, taps };
    direct(level, &windows, Weights::Pairs(weights), bias, Output::Halves(y));
}

/// Channels of bfloat16 two by two, each pair of values in the place of one.
///
/// # Shapes
/// - x: `[batch, channels, size]`
/// - result: `[batch, channels / 2, size]`
fn pairs_of_channels(x: &[u16], size: usize) -> Vec<f32> {
    let (paired, ()) = filled(x.len() / 2, |paired| {
        let channels = x.par_chunks_exact((2 * size).max(1));
        paired.par_chunks_exact_mut(size.max(1)).zip(channels).for_each(|(paired, channels)| {
            let (first, second) = channels.split_at(size);
            for ((pair, first), second) in paired.iter_mut().zip(first).zip(second) {
                *pair = f32::from_bits(u32::from(*first) | u32::from(*second) << 16);
            }
        });
    });
    paired
}

impl<T> Windows<'_, T> {
    /// The rows of an output of so many values; none where it is empty.
    ///
    /// # Panics
    /// When something has another number of values than there must be.
    fn rows(&self, weights: usize, y: usize) -> Option<usize> {
        let columns = self.batch * self.grid[0] * self.grid[1];
        if y == 0 {
            return None;
        }
        let rows = y / columns;
        assert_eq!(y, rows * columns, "an output of {y} values for {columns} windows");
        assert_eq!(weights, rows * self.channels * self.taps.len(), "weights of {rows} rows");
        assert_eq!(self.images.len(), self.batch * self.channels * self.size[0] * self.size[1], "images");
        Some(rows)
    }
}

#[derive(Clone, Copy)]
enum Weights<'a> {
    Singles(Matrix<'a>),
    Pairs(&'a [u16]),
}

fn direct(level: Level, windows: &Windows<f32>, weights: Weights, bias: Option<&[f32]>, y: Output) {
    let positions = windows.grid[0] * windows.grid[1];
    let columns = windows.batch * positions;
    let rows = y.len() / columns;
    let packing = Packing::of(level);
    let y = match y {
        Output::Singles(y) => Shared::Singles(y.as_mut_ptr()),
        Output::Halves(y) => Shared::Halves(y.as_mut_ptr()),
    };
    let work = Work { level, packing, windows, weights, bias, rows, positions, columns, y };
    let tiles = columns.div_ceil(COLUMNS);
    let Tasks { band, stretch, bands, stretches } = Tasks::of(rows, tiles, rayon::current_num_threads(), COSTS);
    (0..stretches * bands).into_par_iter().for_each_init(Room::default, |room, task| {
        let (first, top) = (task / bands * stretch, task % bands * band);
        work.run(room, first..tiles.min(first + stretch), top..rows.min(top + band));
    });
}

/// The output, of which each task writes its own tiles.
#[derive(Clone, Copy)]
enum Shared {
    Singles(*mut f32),
    /// Bfloat16s: what they are rounded from is in nearer memory.
    Halves(*mut u16),
}
// SAFETY: tasks write to disjoint rows and columns, and no one reads before all are done.
unsafe impl Sync for Shared {}

/// What a task packs, and its part of the output, before it is rounded.
#[derive(Default)]
struct Room {
    left: Left,
    right: Vec<f32>,
    sums: Vec<f32>,
}

struct Work<'a> {
    level: Level,
    packing: Packing,
    windows: &'a Windows<'a, f32>,
    weights: Weights<'a>,
    bias: Option<&'a [f32]>,
    rows: usize,
    positions: usize,
    columns: usize,
    y: Shared,
}

impl Work<'_> {
    /// Some tiles of some rows.
    fn run(&self, room: &mut Room, tiles: Range<usize>, rows: Range<usize>) {
        let taps = self.windows.taps.len();
        let channels = self.windows.channels;
        let size = self.windows.size[0] * self.windows.size[1];
        // Whole channels, as equal as they come.
        let steps = (channels * taps).div_ceil(DEPTH).clamp(1, channels.max(1));
        let at_once = channels.div_ceil(steps).max(1);
        let multiplier = Multiplier::new(self.level);
        // Tiles side by side, where they are rounded from.
        let width = tiles.len() * COLUMNS;
        if let Shared::Halves(_) = self.y {
            room.sums.resize(rows.len() * width, 0.0);
        }
        let lookups: Vec<Vec<Lookup>> = tiles.clone().map(|tile| self.lookups(tile * COLUMNS)).collect();
        for first in (0..channels.max(1)).step_by(at_once) {
            let last = channels.min(first + at_once);
            let depth = (last - first) * taps;
            let steps = first * taps..last * taps;
            match self.weights {
                Weights::Singles(weights) => room.left.pack(self.packing, weights, rows.clone(), steps),
                Weights::Pairs(weights) => {
                    room.left.pack_pairs(self.packing, weights, [taps, 2 * channels * taps], rows.clone(), steps);
                }
            }
            room.right.resize(self.packing.steps(depth) * COLUMNS, 0.0);
            room.right[depth * COLUMNS..].fill(0.0);
            for (tile, lookups) in tiles.clone().zip(&lookups) {
                let images = self.windows.images;
                self.level.run(Pack {
                    images,
                    size,
                    lookups,
                    channels: first..last,
                    packed: &mut room.right[..depth * COLUMNS],
                });
                for row in (0..rows.len()).step_by(ROWS) {
                    let a = room.left.operand(row);
                    let own = rows.start + row..rows.start + row + a.count;
                    let bias = self.bias.filter(|_| first == 0).map(|bias| &bias[own]);
                    let onto = if first > 0 || bias.is_some() { Onto::Sum } else { Onto::Nothing };
                    match self.y {
                        Shared::Singles(y) => {
                            self.tile(y, &multiplier, &a, &room.right, [rows.start + row, tile * COLUMNS], bias, onto);
                        }
                        Shared::Halves(_) => {
                            let sums = &mut room.sums[row * width + (tile - tiles.start) * COLUMNS..];
                            for (bias, sums) in bias.into_iter().flatten().zip(sums.chunks_mut(width)) {
                                sums[..COLUMNS].fill(*bias);
                            }
                            multiplier.tile(&a, &room.right, sums, width, onto);
                        }
                    }
                }
            }
        }
        if let Shared::Halves(y) = self.y {
            for (row, sums) in rows.zip(room.sums.chunks_exact(width)) {
                self.round(y, row, tiles.start * COLUMNS, sums);
            }
        }
    }

    /// Rounds what belongs to a row of weights, and to columns from `first` on.
    fn round(&self, y: *mut u16, row: usize, first: usize, sums: &[f32]) {
        let end = self.columns.min(first + sums.len());
        let mut column = first;
        while column < end {
            let (image, position) = (column / self.positions, column % self.positions);
            let count = (self.positions - position).min(end - column);
            let at = (image * self.rows + row) * self.positions + position;
            // SAFETY: this part of a row of an image is in the output, and the task has its columns for itself.
            let y = unsafe { std::slice::from_raw_parts_mut(y.add(at), count) };
            rounded(self.level, &sums[column - first..][..count], y);
            column += count;
        }
    }

    /// Writes a tile at a row and a column of the output, or adds it to the bias, or to what is there.
    #[allow(clippy::too_many_arguments)] // A product, and its place.
    fn tile(
        &self,
        y: *mut f32,
        multiplier: &Multiplier,
        a: &Operand,
        packed: &[f32],
        [row, column]: [usize; 2],
        bias: Option<&[f32]>,
        onto: Onto,
    ) {
        let whole = |column: usize| column + HALF <= self.columns && column % self.positions + HALF <= self.positions;
        // SAFETY: `place` is in the output for each row below `self.rows` and column below `self.columns`, and the task
        // has these rows and columns for itself. A whole half lies in one image, where rows are `positions` apart.
        unsafe {
            let place = |row: usize, column: usize| {
                let (image, position) = (column / self.positions, column % self.positions);
                y.add((image * self.rows + row) * self.positions + position)
            };
            if whole(column) && whole(column + HALF) {
                let halves = [place(row, column), place(row, column + HALF)];
                for (i, bias) in bias.into_iter().flatten().enumerate() {
                    for half in halves {
                        half.add(i * self.positions).cast::<[f32; HALF]>().write_unaligned([*bias; HALF]);
                    }
                }
                return multiplier.tile_at(a, packed, Target { halves, pitch: self.positions, onto });
            }
            let mut values = [0.0; ROWS * COLUMNS];
            multiplier.tile(a, packed, &mut values, COLUMNS, Onto::Nothing);
            for (i, values) in values.chunks_exact(COLUMNS).take(a.count).enumerate() {
                for (column, value) in (column..self.columns).zip(values) {
                    let to = place(row + i, column);
                    let before = match (bias, onto) {
                        (Some(bias), _) => bias[i],
                        (None, Onto::Sum) => to.read(),
                        (None, Onto::Nothing) => 0.0,
                    };
                    to.write(before + value);
                }
            }
        }
    }

    /// Where the windows of a tile look: for each tap, its two halves.
    fn lookups(&self, column: usize) -> Vec<Lookup> {
        let Windows { size, grid, stride, channels, .. } = *self.windows;
        let image = channels * size[0] * size[1];
        let corners: [Option<[isize; 3]>; COLUMNS] = std::array::from_fn(|j| {
            let at = Some(column + j).filter(|&at| at < self.columns)?;
            let position = at % self.positions;
            let (y, x) = (position / grid[1] * stride[0], position % grid[1] * stride[1]);
            Some([(at / self.positions * image) as isize, y as isize, x as isize])
        });
        let halves = |tap: &[isize; 2]| {
            let tap = *tap;
            [0, HALF].map(|half| Lookup::new(&corners[half..half + HALF], size.map(|size| size as isize), tap))
        };
        self.windows.taps.iter().flat_map(halves).collect()
    }
}

/// Some channels of the windows of a tile, as the right operand of a product. Not written with vectors, but compiled for
/// those of the processor.
struct Pack<'a> {
    images: &'a [f32],
    /// Positions of a channel.
    size: usize,
    lookups: &'a [Lookup],
    channels: Range<usize>,
    packed: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { images, size, lookups, channels, packed } = self;
        let mut packed = packed.as_chunks_mut::<HALF>().0.iter_mut();
        for channel in channels {
            for (lookup, packed) in lookups.iter().zip(&mut packed) {
                lookup.read(images, channel * size, packed);
            }
        }
    }
}

/// Where half a tile of windows find one of their taps, in the first channel.
struct Lookup {
    /// All bits where there is a value, none where there is a zero.
    masks: [u32; HALF],
    /// Meaningless where there is a zero.
    places: [isize; HALF],
    /// All values lie side by side.
    aligned: bool,
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Lookup {
    /// For windows at `(image, y, x)`.
    fn new(corners: &[Option<[isize; 3]>], [height, width]: [isize; 2], tap: [isize; 2]) -> Self {
        let mut found = Self { masks: [0; HALF], places: [0; HALF], aligned: true };
        for (j, corner) in corners.iter().enumerate() {
            let Some([image, y, x]) = *corner else { continue };
            let (y, x) = (y + tap[0], x + tap[1]);
            found.places[j] = image + y * width + x;
            if (0..height).contains(&y) && (0..width).contains(&x) {
                found.masks[j] = u32::MAX;
                found.aligned &= found.places[j] == found.places[0] + j as isize;
            }
        }
        found
    }

    #[inline(always)]
    fn read(&self, images: &[f32], channel: usize, packed: &mut [f32; HALF]) {
        if self.aligned
            && let Ok(start) = usize::try_from(self.places[0] + channel as isize)
            && let Some(values) = images.get(start..).and_then(|values| values.first_chunk::<HALF>())
        {
            *packed = std::array::from_fn(|j| f32::from_bits(values[j].to_bits() & self.masks[j]));
            return;
        }
        for ((packed, &place), &mask) in packed.iter_mut().zip(&self.places).zip(&self.masks) {
            *packed = if mask == 0 { 0.0 } else { images[(place + channel as isize) as usize] };
        }
    }
}
