//! Parts of matrices in the order in which a tile reads them.

use std::ops::Range;

use super::tile::COLUMNS;

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

/// Some of a left operand in stripes of `height` rows: `[rows / height, depth, height]`, anything in the rows that are too
/// many.
pub(crate) fn stripes(a: Matrix, rows: Range<usize>, depth: Range<usize>, height: usize, into: &mut Vec<f32>) {
    into.resize(rows.len().div_ceil(height) * depth.len() * height, 0.0);
    match height {
        8 => stripes_of::<8>(a, rows, depth, into),
        6 => stripes_of::<6>(a, rows, depth, into),
        2 => stripes_of::<2>(a, rows, depth, into),
        _ => unreachable!("stripes of {height} rows"),
    }
}

/// The weights of a convolution, `[rows, 2 * channels, taps]`, in the same stripes: a step is a tap of two channels, whose
/// bfloat16s make a pair.
pub(crate) fn stripes_of_pairs(
    weights: &[u16],
    taps: usize,
    row_len: usize,
    rows: Range<usize>,
    depth: Range<usize>,
    into: &mut Vec<f32>,
) {
    // The height of blocks on every level that takes pairs.
    const H: usize = 8;
    into.resize(rows.len().div_ceil(H) * depth.len() * H, 0.0);
    for (row, into) in rows.clone().step_by(H).zip(into.chunks_exact_mut((depth.len() * H).max(1))) {
        let into = into.as_chunks_mut::<H>().0;
        // The last row stands in for those that there are not.
        let lines: [&[u16]; H] = std::array::from_fn(|i| {
            &weights[(row + i).min(rows.end - 1) * row_len + 2 * depth.start..][..2 * depth.len()]
        });
        for (channels, into) in into.chunks_mut(taps).enumerate() {
            let lines = lines.map(|line| line[2 * channels * taps..][..2 * taps].split_at(taps));
            for (tap, into) in into.iter_mut().enumerate() {
                for (into, (first, second)) in into.iter_mut().zip(lines) {
                    *into = f32::from_bits(u32::from(first[tap]) | u32::from(second[tap]) << 16);
                }
            }
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
            for (k, into) in into.iter_mut().enumerate() {
                for (into, line) in into.iter_mut().zip(lines) {
                    *into = line[k];
                }
            }
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
pub(crate) fn columns(b: Matrix, depth: Range<usize>, columns: Range<usize>, into: &mut [f32]) {
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
        // A few lines at a time, as many as there are registers for their places.
        const LINES: usize = 8;
        for first in (0..COLUMNS).step_by(LINES) {
            let count = columns.len().saturating_sub(first).min(LINES);
            if count == LINES {
                let line = |i: usize| &values[(columns.start + first + i) * column + depth.start..][..depth.len()];
                let lines: [&[f32]; LINES] = std::array::from_fn(line);
                for (k, into) in into.iter_mut().enumerate() {
                    for (into, line) in into[first..first + LINES].iter_mut().zip(lines) {
                        *into = line[k];
                    }
                }
            } else {
                for (k, into) in into.iter_mut().enumerate() {
                    for (i, into) in into[first..first + LINES].iter_mut().enumerate() {
                        let at = (columns.start + first + i) * column + depth.start + k;
                        *into = if i < count { values[at] } else { 0.0 };
                    }
                }
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
                let mut packed = vec![f32::NAN; 1];
                stripes(matrix, rows.clone(), depth.clone(), height, &mut packed);
                assert_eq!(packed.len(), rows.len().div_ceil(height) * height * depth.len());
                for (i, found) in packed.iter().enumerate() {
                    let stripe = (depth.len() * height).max(1);
                    let (at, k) = (rows.start + i / stripe * height + i % height, i % stripe / height);
                    assert!(
                        at >= rows.end || *found == value(at, depth.start + k),
                        "row {at}, step {k} of {row} and {column}"
                    );
                }
            }
            for (depth, wanted) in [(0..9, 0..32), (2..40, 1..8), (5..6, 0..32), (3..3, 0..32)] {
                let mut packed = vec![f32::NAN; depth.len() * COLUMNS];
                columns(matrix, depth.clone(), wanted.clone(), &mut packed);
                for (i, found) in packed.iter().enumerate() {
                    let (k, at) = (depth.start + i / COLUMNS, wanted.start + i % COLUMNS);
                    let expected = if wanted.contains(&at) { value(k, at) } else { 0.0 };
                    assert_eq!(*found, expected, "step {k}, column {at} of {row} and {column}");
                }
            }
        }
    }
}
