//! Products of matrices of any size and strides.

use std::ops::Range;

use rayon::prelude::*;

use super::tile::{COLUMNS, Operand, ROWS, add_tile, add_tile_at};
use crate::simd::Level;

/// Steps over the depth at once: the packed columns (32 values a step) and eight rows stay in the first cache.
const DEPTH: usize = 192;
/// Rows at once: with [`DEPTH`] of each they stay in the second cache.
const HEIGHT: usize = 256;
/// Tiles beside each other at once, which share the rows.
const TILES: usize = 8;

/// A matrix of any strides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    /// From a row to the next.
    pub(crate) row: usize,
    /// From a column to the next.
    pub(crate) column: usize,
}

impl Matrix<'_> {
    /// The same values with rows for columns.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

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
    let work = Work { level, a, b, bias, depth, columns, c: Shared(c.as_mut_ptr()) };
    let bands = rows.div_ceil(HEIGHT);
    let band = rows.div_ceil(bands).next_multiple_of(ROWS);
    let tiles = columns.div_ceil(COLUMNS);
    // Some tasks a thread, so that no one waits long for the last; what is added up does not depend on it.
    let at_once = (tiles * bands / (4 * rayon::current_num_threads())).clamp(1, TILES);
    let stretches = tiles.div_ceil(at_once);
    (0..stretches * bands).into_par_iter().for_each(|task| {
        let (stretch, top) = (task / bands, task % bands * band);
        if top < rows {
            let columns = stretch * at_once * COLUMNS..columns.min((stretch + 1) * at_once * COLUMNS);
            work.run(top..rows.min(top + band), columns);
        }
    });
}

/// The output, of which each task writes its own rows and columns.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks write to disjoint rows and columns, and no one reads before all are done.
unsafe impl Sync for Shared {}

struct Work<'a> {
    level: Level,
    a: Matrix<'a>,
    b: Matrix<'a>,
    bias: Option<&'a [f32]>,
    depth: usize,
    columns: usize,
    c: Shared,
}

impl Work<'_> {
    fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        let steps = self.depth.div_ceil(DEPTH).max(1);
        let at_once = self.depth.div_ceil(steps).max(1);
        let (mut left, mut right) = (Vec::new(), vec![0.0; at_once * COLUMNS]);
        for first in (0..self.depth.max(1)).step_by(at_once) {
            let depth = first..self.depth.min(first + at_once);
            // Single values are read along the depth. They are copied where each would be in a line of its own.
            if self.a.column != 1 {
                self.turn(rows.clone(), depth.clone(), &mut left);
            }
            for column in columns.clone().step_by(COLUMNS) {
                let columns = column..columns.end.min(column + COLUMNS);
                self.pack(depth.clone(), columns.clone(), &mut right);
                for row in rows.clone().step_by(ROWS) {
                    let own = row..rows.end.min(row + ROWS);
                    let a = match self.a.column {
                        1 => Operand {
                            data: self.a.values,
                            rows: std::array::from_fn(|i| (row + i).min(rows.end - 1) * self.a.row + first),
                            starts: &[0],
                            run: depth.len(),
                            step: 1,
                        },
                        _ => Operand {
                            data: &left,
                            rows: std::array::from_fn(|i| (row - rows.start) * depth.len() + i),
                            starts: &[0],
                            run: depth.len(),
                            step: ROWS,
                        },
                    };
                    self.tile(&a, &right, own, columns.clone(), first == 0);
                }
            }
        }
    }

    /// Adds a tile to the output, or, the `first` time, to the bias.
    fn tile(&self, a: &Operand, right: &[f32], rows: Range<usize>, columns: Range<usize>, first: bool) {
        // SAFETY: `place` is in the output for each row of `a` and column below `self.columns`, and the task
        // has these rows and columns for itself.
        unsafe {
            let place = |row: usize, column: usize| self.c.0.add(row * self.columns + column);
            if rows.len() == ROWS && columns.len() == COLUMNS {
                if first {
                    let start = match self.bias {
                        Some(bias) => std::array::from_fn(|j| bias[columns.start + j]),
                        None => [0.0; COLUMNS],
                    };
                    rows.clone().for_each(|row| place(row, columns.start).cast::<[f32; COLUMNS]>().write(start));
                }
                add_tile_at(self.level, a, right, place(rows.start, columns.start), self.columns);
                return;
            }
            let mut tile = [0.0; ROWS * COLUMNS];
            add_tile(self.level, a, right, &mut tile, COLUMNS);
            for (row, values) in rows.zip(tile.chunks_exact(COLUMNS)) {
                for (column, value) in columns.clone().zip(values) {
                    let to = place(row, column);
                    to.write(if first { self.bias.map_or(0.0, |bias| bias[column]) } else { to.read() } + value);
                }
            }
        }
    }

    /// Some columns of `b`, 32 values for each step of the depth, with zeros where there are fewer.
    fn pack(&self, depth: Range<usize>, columns: Range<usize>, right: &mut [f32]) {
        let Matrix { values, row, column } = self.b;
        if column == 1 && columns.len() == COLUMNS {
            for (k, right) in depth.zip(right.chunks_exact_mut(COLUMNS)) {
                right.copy_from_slice(&values[k * row + columns.start..][..COLUMNS]);
            }
            return;
        }
        for j in 0..COLUMNS {
            let at = columns.start + j;
            for (k, right) in depth.clone().zip(right[j..].iter_mut().step_by(COLUMNS)) {
                *right = if at < columns.end { values[k * row + at * column] } else { 0.0 };
            }
        }
    }

    /// Some of `a`, eight rows side by side, with anything in the rows that are too many.
    fn turn(&self, rows: Range<usize>, depth: Range<usize>, left: &mut Vec<f32>) {
        let panel = depth.len() * ROWS;
        left.resize(rows.len().div_ceil(ROWS) * panel, 0.0);
        for (k, at) in depth.enumerate() {
            let values = &self.a.values[at * self.a.column..];
            for (row, left) in rows.clone().step_by(ROWS).zip(left.chunks_exact_mut(panel)) {
                let left = &mut left[k * ROWS..][..ROWS];
                if self.a.row == 1 && row + ROWS <= rows.end {
                    left.copy_from_slice(&values[row..row + ROWS]);
                } else {
                    for (row, left) in (row..rows.end).zip(left) {
                        *left = values[row * self.a.row];
                    }
                }
            }
        }
    }
}
