//! Products of matrices of any size and strides.

use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Left, Matrix, columns};
use super::share::{Costs, HEIGHT, Tasks};
use super::tile::{COLUMNS, HALF, Multiplier, Onto, Operand, Packing, ROWS, Target};
use crate::array::Output;
use crate::simd::{Level, rounded};

/// Steps over the depth at once: the packed columns (32 values a step) and a stripe of rows stay in the first cache.
const DEPTH: usize = 192;
/// Either operand may be the weights, which come from memory and are turned.
const COSTS: Costs = Costs { left: 15, right: 15, height: HEIGHT };
/// Where there are fewer pieces of work than these, a great depth is cut into parts.
const PIECES: usize = 16;

/// `c = a b`, and a bias for each column.
///
/// # Shapes
/// - a: `[rows, depth]`
/// - b: `[depth, columns]`
/// - bias: `[columns]`
/// - c: `[rows, columns]`, row by row, overwritten
pub(crate) fn product(level: Level, a: Matrix, b: Matrix, bias: Option<&[f32]>, c: Output, sizes: [usize; 3]) {
    let [rows, depth, columns] = sizes;
    assert_eq!(c.len(), rows * columns, "a product of {rows} x {columns}");
    if c.len() == 0 {
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
        all(level, a, b, None, Output::Singles(sums), rows, depth, columns);
    });
    let (first, others) = sums.split_at_mut(rows * columns);
    for (i, first) in first.chunks_exact_mut(columns).enumerate() {
        if let Some(bias) = bias {
            first.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        for sums in others.chunks_exact(rows * columns) {
            first.iter_mut().zip(&sums[i * columns..]).for_each(|(first, sum)| *first += sum);
        }
    }
    match c {
        Output::Singles(c) => c.copy_from_slice(first),
        Output::Halves(c) => rounded(level, first, c),
    }
}

/// The product over some of the depth.
#[allow(clippy::too_many_arguments)] // The sizes of a product.
fn all(
    level: Level,
    a: Matrix,
    b: Matrix,
    bias: Option<&[f32]>,
    c: Output,
    rows: usize,
    depth: Range<usize>,
    columns: usize,
) {
    let packing = Packing::of(level);
    let c = match c {
        Output::Singles(c) => Shared::Singles(c.as_mut_ptr()),
        Output::Halves(c) => Shared::Halves(c.as_mut_ptr()),
    };
    let work = Work { level, packing, a, b, bias, depth, columns, c };
    let tiles = columns.div_ceil(COLUMNS);
    let Tasks { band, stretch, bands, stretches } = Tasks::of(rows, tiles, rayon::current_num_threads(), COSTS);
    (0..stretches * bands).into_par_iter().for_each_init(Room::default, |room, task| {
        let (first, top) = (task / bands * stretch * COLUMNS, task % bands * band);
        work.run(room, top..rows.min(top + band), first..columns.min(first + stretch * COLUMNS));
    });
}

/// What a task packs, and its part of the output, before it is rounded.
#[derive(Default)]
struct Room {
    left: Left,
    right: Vec<f32>,
    sums: Vec<f32>,
}

/// The output, of which each task writes its own rows and columns.
#[derive(Clone, Copy)]
enum Shared {
    Singles(*mut f32),
    /// Bfloat16s: what they are rounded from is in nearer memory.
    Halves(*mut u16),
}
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

/// Where a task's sums are.
#[derive(Clone, Copy)]
struct Sums {
    first: *mut f32,
    /// From a row to the next.
    pitch: usize,
}

impl Work<'_> {
    fn run(&self, room: &mut Room, rows: Range<usize>, own: Range<usize>) {
        let corner = rows.start * self.columns + own.start;
        let width = own.len().next_multiple_of(COLUMNS);
        let sums = match self.c {
            // SAFETY: rows and columns are in the output.
            Shared::Singles(c) => Sums { first: unsafe { c.add(corner) }, pitch: self.columns },
            Shared::Halves(_) => {
                room.sums.resize(rows.len() * width, 0.0);
                Sums { first: room.sums.as_mut_ptr(), pitch: width }
            }
        };
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
                let some = column..own.end.min(column + COLUMNS);
                columns(self.level, self.b, depth.clone(), some.clone(), &mut room.right[..depth.len() * COLUMNS]);
                let bias = self.bias.filter(|_| first == self.depth.start).map(|bias| &bias[some.clone()]);
                let onto = if first > self.depth.start || bias.is_some() { Onto::Sum } else { Onto::Nothing };
                for row in (0..rows.len()).step_by(ROWS) {
                    let a = room.left.operand(row);
                    // SAFETY: the sums have that many rows and columns from here on, for this task alone.
                    unsafe {
                        let sums = Sums { first: sums.first.add(row * sums.pitch + column - own.start), ..sums };
                        tile(&multiplier, &a, &room.right, sums, some.len(), bias, onto);
                    }
                }
            }
            first = depth.end;
            if first >= self.depth.end {
                break;
            }
        }
        if let Shared::Halves(c) = self.c {
            for (i, sums) in room.sums.chunks_exact(width).enumerate() {
                // SAFETY: rows and columns are in the output, and the task has them for itself.
                let c = unsafe { std::slice::from_raw_parts_mut(c.add(corner + i * self.columns), own.len()) };
                rounded(self.level, &sums[..own.len()], c);
            }
        }
    }
}

/// Adds a tile of so many columns to the sums, after the bias where one is given, or overwrites them.
///
/// # Safety
/// For as many rows as `a` counts, the sums have that many columns, and no one else touches them.
unsafe fn tile(
    multiplier: &Multiplier,
    a: &Operand,
    right: &[f32],
    sums: Sums,
    columns: usize,
    bias: Option<&[f32]>,
    onto: Onto,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let place = |row: usize| sums.first.add(row * sums.pitch);
        if let Some(bias) = bias {
            (0..a.count).for_each(|row| bias.as_ptr().copy_to_nonoverlapping(place(row), columns));
        }
        if columns == COLUMNS {
            let halves = [sums.first, sums.first.add(HALF)];
            return multiplier.tile_at(a, right, Target { halves, pitch: sums.pitch, onto });
        }
        let mut values = [0.0; ROWS * COLUMNS];
        multiplier.tile(a, right, &mut values, COLUMNS, Onto::Nothing);
        for (row, values) in values.chunks_exact(COLUMNS).take(a.count).enumerate() {
            for (column, value) in values[..columns].iter().enumerate() {
                let to = place(row).add(column);
                to.write(if onto == Onto::Nothing { *value } else { to.read() + value });
            }
        }
    }
}
