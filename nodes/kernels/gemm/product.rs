//! Products of matrices of any size and strides.

use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Left, Matrix, columns};
use super::tile::{COLUMNS, HALF, Multiplier, Onto, Operand, Packing, ROWS, Target};
use crate::simd::Level;

/// Steps over the depth at once: the packed columns (32 values a step) and a stripe of rows stay in the first cache.
const DEPTH: usize = 192;
/// Rows at once: with [`DEPTH`] of each they stay in the second cache.
const HEIGHT: usize = 384;
/// Tiles beside each other at once, which share the rows.
const TILES: usize = 16;
/// Where there are fewer pieces of work than these, a great depth is cut into parts.
const PIECES: usize = 16;

/// `c = a b`, and a bias for each column.
///
/// # Shapes
/// - a: `[rows, depth]`
/// - b: `[depth, columns]`
/// - bias: `[columns]`
/// - c: `[rows, columns]`, row by row, overwritten
pub(crate) fn product(level: Level, a: Matrix, b: Matrix, bias: Option<&[f32]>, c: &mut [f32], sizes: [usize; 3]) {
    let [rows, depth, columns] = sizes;
    assert_eq!(c.len(), rows * columns, "a product of {rows} x {columns}");
    if c.is_empty() {
        return;
    }
    // The parts depend on the sizes alone, and are added in order.
    let pieces = rows.div_ceil(HEIGHT) * columns.div_ceil(COLUMNS);
    let parts = (PIECES / pieces).min(depth / (4 * DEPTH)).max(1);
    let part = depth.div_ceil(parts);
    if parts == 1 {
        return all(level, a, b, bias, c, rows, 0..depth, columns);
    }
    let mut sums = vec![0.0; parts * c.len()];
    sums.par_chunks_exact_mut(c.len()).enumerate().for_each(|(i, sums)| {
        let depth = depth.min(i * part)..depth.min((i + 1) * part);
        all(level, a, b, None, sums, rows, depth, columns);
    });
    for (i, c) in c.chunks_exact_mut(columns).enumerate() {
        match bias {
            Some(bias) => c.copy_from_slice(bias),
            None => c.fill(0.0),
        }
        for sums in sums.chunks_exact(rows * columns) {
            c.iter_mut().zip(&sums[i * columns..]).for_each(|(c, sum)| *c += sum);
        }
    }
}

/// The product over some of the depth.
#[allow(clippy::too_many_arguments)] // The sizes of a product.
fn all(
    level: Level,
    a: Matrix,
    b: Matrix,
    bias: Option<&[f32]>,
    c: &mut [f32],
    rows: usize,
    depth: Range<usize>,
    columns: usize,
) {
    let packing = Packing::of(level);
    let work = Work { level, packing, a, b, bias, depth, columns, c: Shared(c.as_mut_ptr()) };
    let bands = rows.div_ceil(HEIGHT);
    let band = rows.div_ceil(bands).next_multiple_of(ROWS);
    let tiles = columns.div_ceil(COLUMNS);
    // Some tasks a thread, so that no one waits long for the last; what is added up does not depend on it.
    let at_once = (tiles * bands / (4 * rayon::current_num_threads())).clamp(1, TILES);
    let stretches = tiles.div_ceil(at_once);
    (0..stretches * bands).into_par_iter().for_each_init(Room::default, |room, task| {
        let (stretch, top) = (task / bands, task % bands * band);
        if top < rows {
            let columns = stretch * at_once * COLUMNS..columns.min((stretch + 1) * at_once * COLUMNS);
            work.run(room, top..rows.min(top + band), columns);
        }
    });
}

/// What a task packs.
#[derive(Default)]
struct Room {
    left: Left,
    right: Vec<f32>,
}

/// The output, of which each task writes its own rows and columns.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks write to disjoint rows and columns, and no one reads before all are done.
unsafe impl Sync for Shared {}

struct Work<'a> {
    level: Level,
    packing: Packing,
    a: Matrix<'a>,
    b: Matrix<'a>,
    bias: Option<&'a [f32]>,
    depth: Range<usize>,
    columns: usize,
    c: Shared,
}

impl Work<'_> {
    fn run(&self, room: &mut Room, rows: Range<usize>, own: Range<usize>) {
        let steps = self.depth.len().div_ceil(DEPTH).max(1);
        let at_once = self.depth.len().div_ceil(steps).max(1);
        let multiplier = Multiplier::new(self.level);
        let mut first = self.depth.start;
        loop {
            let depth = first..self.depth.end.min(first + at_once);
            room.left.pack(self.packing, self.a, rows.clone(), depth.clone());
            room.right.resize(self.packing.steps(depth.len()) * COLUMNS, 0.0);
            room.right[depth.len() * COLUMNS..].fill(0.0);
            for column in own.clone().step_by(COLUMNS) {
                let own = column..own.end.min(column + COLUMNS);
                columns(self.level, self.b, depth.clone(), own.clone(), &mut room.right[..depth.len() * COLUMNS]);
                for row in (0..rows.len()).step_by(ROWS) {
                    let a = room.left.operand(row);
                    self.tile(&multiplier, &a, &room.right, rows.start + row, own.clone(), first == self.depth.start);
                }
            }
            first = depth.end;
            if first >= self.depth.end {
                break;
            }
        }
    }

    /// Adds a tile to the output, or, the `first` time, to the bias.
    fn tile(
        &self,
        multiplier: &Multiplier,
        a: &Operand,
        right: &[f32],
        row: usize,
        columns: Range<usize>,
        first: bool,
    ) {
        let rows = row..row + a.count;
        let bias = self.bias.filter(|_| first).map(|bias| &bias[columns.clone()]);
        let onto = if first && bias.is_none() { Onto::Nothing } else { Onto::Sum };
        // SAFETY: `place` is in the output for each row of `a` and column below `self.columns`, and the task
        // has these rows and columns for itself.
        unsafe {
            let place = |row: usize| self.c.0.add(row * self.columns + columns.start);
            if let Some(bias) = bias {
                rows.clone().for_each(|row| bias.as_ptr().copy_to_nonoverlapping(place(row), bias.len()));
            }
            if columns.len() == COLUMNS {
                let halves = [place(rows.start), place(rows.start).add(HALF)];
                return multiplier.tile_at(a, right, Target { halves, pitch: self.columns, onto });
            }
            let mut values = [0.0; ROWS * COLUMNS];
            multiplier.tile(a, right, &mut values, COLUMNS, Onto::Nothing);
            for (row, values) in rows.zip(values.chunks_exact(COLUMNS)) {
                for (column, value) in values[..columns.len()].iter().enumerate() {
                    let to = place(row).add(column);
                    to.write(if onto == Onto::Nothing { *value } else { to.read() + value });
                }
            }
        }
    }
}
