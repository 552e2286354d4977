//! Parts of matrices in the order in which a tile reads them.

use std::ops::Range;

use super::tile::{COLUMNS, Operand, Packing, ROWS};
use super::turn::{LINES, turned, turned_beside};
use crate::simd::Level;

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

/// Some of a left operand, packed as it is read.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Stripes, `[rows / height, depth, height]`, with anything in the rows that are too many; or lines, `[rows, depth]`,
    /// for whole tiles of rows.
    values: Vec<f32>,
    packing: Option<Packing>,
    rows: usize,
    depth: usize,
    /// Before they are turned.
    pairs: Vec<f32>,
}

impl Left {
    /// Packs some of a matrix.
    pub(crate) fn pack(&mut self, packing: Packing, a: Matrix, rows: Range<usize>, depth: Range<usize>) {
        self.make_room(packing, rows.len(), depth.len());
        match packing {
            Packing::Stripes(8) => stripes_of::<8>(a, rows, depth, &mut self.values),
            Packing::Stripes(6) => stripes_of::<6>(a, rows, depth, &mut self.values),
            Packing::Stripes(2) => stripes_of::<2>(a, rows, depth, &mut self.values),
            Packing::Stripes(height) => unreachable!("stripes of {height} rows"),
            Packing::Lines(_) => {
                for (row, into) in rows.zip(self.values.chunks_exact_mut(self.depth.max(1))) {
                    let (into, rest) = into.split_at_mut(depth.len());
                    if a.column == 1 {
                        into.copy_from_slice(&a.values[row * a.row + depth.start..][..depth.len()]);
                    } else {
                        for (k, into) in depth.clone().zip(into) {
                            *into = a.values[row * a.row + k * a.column];
                        }
                    }
                    rest.fill(0.0);
                }
            }
        }
    }

    /// Packs some of the weights of a convolution, `[rows, 2 * channels, taps]` with `row_len` bfloat16s a row: a step is a
    /// tap of two channels, whose bfloat16s make a pair.
    pub(crate) fn pack_pairs(
        &mut self,
        packing: Packing,
        weights: &[u16],
        [taps, row_len]: [usize; 2],
        rows: Range<usize>,
        depth: Range<usize>,
    ) {
        // The height of stripes on every level that takes pairs.
        const H: usize = 8;
        self.make_room(packing, rows.len(), depth.len());
        let weights = |row: usize| &weights[row * row_len + 2 * depth.start..][..2 * depth.len()];
        match packing {
            Packing::Stripes(height) => {
                assert_eq!(height, H, "the height of stripes");
                self.pairs.resize(H * depth.len(), 0.0);
                let each = self.values.chunks_exact_mut((depth.len() * H).max(1));
                for (row, into) in rows.clone().step_by(H).zip(each) {
                    let lines = self.pairs.chunks_exact_mut(depth.len());
                    // The last row stands in for those that there are not.
                    for (row, line) in (row..).map(|row| row.min(rows.end - 1)).zip(lines) {
                        line_of_pairs(weights(row), taps, line);
                    }
                    let line = |i: usize| &self.pairs[i * depth.len()..][..depth.len()];
                    turned(std::array::from_fn(line), into.as_chunks_mut::<H>().0);
                }
            }
            Packing::Lines(_) => {
                for (row, into) in rows.zip(self.values.chunks_exact_mut(self.depth.max(1))) {
                    let (into, rest) = into.split_at_mut(depth.len());
                    line_of_pairs(weights(row), taps, into);
                    rest.fill(0.0);
                }
            }
        }
    }

    fn make_room(&mut self, packing: Packing, rows: usize, depth: usize) {
        let height = match packing {
            Packing::Stripes(height) => height,
            Packing::Lines(_) => ROWS,
        };
        (self.packing, self.rows, self.depth) = (Some(packing), rows, packing.steps(depth));
        self.values.resize(rows.next_multiple_of(height) * self.depth, 0.0);
    }

    /// The rows of a tile, from `row` of what was packed on.
    pub(crate) fn operand(&self, row: usize) -> Operand<'_> {
        match self.packing {
            Some(Packing::Stripes(height)) => {
                Operand::of_stripes(&self.values, [height, height * self.depth], self.depth, row, self.rows)
            }
            Some(Packing::Lines(_)) => Operand::of_lines(&self.values, self.depth, row, self.rows),
            None => unreachable!("nothing was packed"),
        }
    }
}

/// The weights of a row, `[2 * channels, taps]`, as `[channels, taps]` pairs.
fn line_of_pairs(weights: &[u16], taps: usize, into: &mut [f32]) {
    for (weights, into) in weights.chunks_exact(2 * taps).zip(into.chunks_exact_mut(taps)) {
        let (first, second) = weights.split_at(taps);
        for ((into, first), second) in into.iter_mut().zip(first).zip(second) {
            *into = f32::from_bits(u32::from(*first) | u32::from(*second) << 16);
        }
    }
}

fn stripes_of<const H: usize>(a: Matrix, rows: Range<usize>, depth: Range<usize>, into: &mut [f32]) {
    let each = into.chunks_exact_mut((depth.len() * H).max(1));
    for (row, into) in rows.clone().step_by(H).zip(each) {
        let into = into.as_chunks_mut::<H>().0;
        let count = H.min(rows.end - row);
        if a.row == 1 && count == H {
            for (k, into) in depth.clone().zip(into) {
                into.copy_from_slice(&a.values[k * a.column + row..][..H]);
            }
        } else if a.column == 1 {
            // The last row stands in for those that there are not.
            let lines: [&[f32]; H] =
                std::array::from_fn(|i| &a.values[(row + i.min(count - 1)) * a.row + depth.start..][..depth.len()]);
            turned(lines, into);
        } else {
            for (k, into) in depth.clone().zip(into) {
                for (i, into) in into.iter_mut().enumerate() {
                    *into = a.values[(row + i.min(count - 1)) * a.row + k * a.column];
                }
            }
        }
    }
}

/// Some columns of a right operand, at most 32: that many values for each step of the depth, with zeros where there are
/// fewer.
pub(crate) fn columns(level: Level, b: Matrix, depth: Range<usize>, columns: Range<usize>, into: &mut [f32]) {
    let Matrix { values, row, column } = b;
    let into = into.as_chunks_mut::<COLUMNS>().0;
    if column == 1 {
        for (k, into) in depth.zip(into) {
            let values = &values[k * row + columns.start..][..columns.len()];
            match values.first_chunk() {
                Some(values) => *into = *values,
                None => {
                    into[..values.len()].copy_from_slice(values);
                    into[values.len()..].fill(0.0);
                }
            }
        }
    } else if row == 1 {
        // Long runs, which come from memory before they are asked for. So many steps has a line that is not there.
        const STEPS: usize = 256;
        let zeros = [0.0; STEPS];
        for (from, into) in depth.clone().step_by(STEPS).zip(into.chunks_mut(STEPS)) {
            let steps = into.len().min(depth.end - from);
            for first in (0..COLUMNS).step_by(LINES) {
                let line = |i: usize| match first + i < columns.len() {
                    true => &values[(columns.start + first + i) * column + from..][..steps],
                    false => &zeros[..steps],
                };
                turned_beside(level, std::array::from_fn(line), &mut into[..steps], first);
            }
        }
    } else {
        for (k, into) in depth.zip(into) {
            for (i, into) in into.iter_mut().enumerate() {
                *into = if i < columns.len() { values[k * row + (columns.start + i) * column] } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_are_those_of_the_matrix() {
        let values: Vec<f32> = (0..3000).map(|i| i as f32).collect();
        for (row, column) in [(40, 1), (1, 50), (3, 41)] {
            let matrix = Matrix { values: &values, row, column };
            let value = |i: usize, j: usize| values[i * row + j * column];
            for (rows, depth, height) in [(0..24, 0..5, 6), (3..40, 7..30, 8), (2..3, 4..5, 2), (5..9, 3..3, 6)] {
                for packing in [Packing::Stripes(height), Packing::Lines(4)] {
                    let mut left = Left::default();
                    left.pack(packing, matrix, rows.clone(), depth.clone());
                    for i in 0..rows.len() {
                        let operand = left.operand(i / ROWS * ROWS);
                        assert_eq!(operand.run, packing.steps(depth.len()));
                        for k in 0..operand.run {
                            let found = operand.data[operand.rows[i % ROWS] + k * operand.step];
                            let expected = if k < depth.len() { value(rows.start + i, depth.start + k) } else { 0.0 };
                            assert_eq!(found, expected, "row {i}, step {k} of {row} and {column}, {packing:?}");
                        }
                    }
                }
            }
            for (depth, wanted) in [(0..9, 0..32), (2..40, 1..8), (5..6, 0..32), (3..3, 0..32)] {
                for level in Level::available() {
                    let mut packed = vec![f32::NAN; depth.len() * COLUMNS];
                    columns(level, matrix, depth.clone(), wanted.clone(), &mut packed);
                    for (i, found) in packed.iter().enumerate() {
                        let (k, at) = (depth.start + i / COLUMNS, wanted.start + i % COLUMNS);
                        let expected = if wanted.contains(&at) { value(k, at) } else { 0.0 };
                        assert_eq!(*found, expected, "step {k}, column {at} of {row} and {column}, {level:?}");
                    }
                }
            }
        }
    }
}
