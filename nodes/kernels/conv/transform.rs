//! Winograd's transforms of F(2x2, 3x3), see [`super::winograd`]: `B^T d B` of inputs, `G g G^T` of weights, `A^T m A` of
//! sums. Not written with vectors, but compiled for those of the processor.
//!
//! Places are numbered row by row. Tiles are transformed in runs of `L` beside each other.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::gemm::COLUMNS;

/// Places of a transformed tile.
pub(super) const PLACES: usize = 16;

/// Tiles of images, from the first of which one is done: a whole number of runs.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    /// In the order of images and rows, `[batch, down, across]`.
    pub(super) own: Range<usize>,
    pub(super) down: usize,
    pub(super) across: usize,
}

impl Tiles {
    /// How many of a run lie beside each other.
    fn run(&self) -> usize {
        [32, 16, 8, 4, 2].into_iter().find(|run| self.across.is_multiple_of(*run)).unwrap_or(1)
    }

    /// Image, row and column of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        [tile / self.across / self.down, tile / self.across % self.down, tile % self.across]
    }
}

/// `B^T d`, or `d B`: of four values.
#[inline(always)]
fn input([a, b, c, d]: [f32; 4]) -> [f32; 4] {
    [a - c, b + c, c - b, b - d]
}

/// `G g`, or `g G^T`: of three values.
#[inline(always)]
fn weight([a, b, c]: [f32; 3]) -> [f32; 4] {
    let (outer, inner) = (0.5 * (a + c), 0.5 * b);
    [a, outer + inner, outer - inner, c]
}

/// `A^T m`, or `m A`: of four values.
#[inline(always)]
fn sum([a, b, c, d]: [f32; 4]) -> [f32; 2] {
    [a + b + c, b - c - d]
}

/// Values of images in tiles, for the right operand of a product.
pub(super) struct Inputs<'a> {
    pub(super) tiles: Tiles,
    /// `[batch, channels, height, width]`
    pub(super) images: &'a [f32],
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    /// Where the first tile of an image begins.
    pub(super) corner: [isize; 2],
    /// The channels that are wanted.
    pub(super) own: Range<usize>,
    /// `[16, tiles / 32, depth, 32]`, with `pitch` values from a place to the next, and from 32 tiles to the next.
    pub(super) into: &'a mut [f32],
    pub(super) pitch: [usize; 2],
}

impl WithSimd for Inputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.tiles.run() {
            32 => self.runs::<32, 33>(),
            16 => self.runs::<16, 17>(),
            8 => self.runs::<8, 9>(),
            4 => self.runs::<4, 5>(),
            2 => self.runs::<2, 3>(),
            _ => self.runs::<1, 2>(),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Inputs<'_> {
    /// A run of `L` tiles is `P` pairs of values wide.
    #[inline(always)]
    fn runs<const L: usize, const P: usize>(self) {
        let Self { tiles, images, channels, size: [height, width], corner, own, into, pitch } = self;
        for first in tiles.own.clone().step_by(L) {
            let [image, y, x] = tiles.place(first);
            let (y, x) = (2 * y as isize + corner[0], 2 * x as isize + corner[1]);
            let at = first - tiles.own.start;
            let at = at / COLUMNS * pitch[1] + at % COLUMNS;
            for (k, channel) in own.clone().enumerate() {
                let channel = &images[(image * channels + channel) * height * width..][..height * width];
                let mut rows = [[[0.0_f32; L]; 4]; 4];
                for (i, row) in rows.iter_mut().enumerate() {
                    if let Some(y) = usize::try_from(y + i as isize).ok().filter(|y| *y < height) {
                        *row = horizontal::<L, P>(&channel[y * width..][..width], x);
                    }
                }
                for column in 0..4 {
                    let mut values = [[0.0_f32; L]; 4];
                    for j in 0..L {
                        let found =
                            input([rows[0][column][j], rows[1][column][j], rows[2][column][j], rows[3][column][j]]);
                        for (values, found) in values.iter_mut().zip(found) {
                            values[j] = found;
                        }
                    }
                    for (row, values) in values.iter().enumerate() {
                        into[(4 * row + column) * pitch[0] + at + k * COLUMNS..][..L].copy_from_slice(values);
                    }
                }
            }
        }
    }
}

/// Of a row of an image, from `x` on.
#[inline(always)]
fn horizontal<const L: usize, const P: usize>(row: &[f32], x: isize) -> [[f32; L]; 4] {
    let mut pairs = [[0.0_f32; 2]; P];
    let padded = pairs.as_flattened_mut();
    if x == -1 && row.len() == 2 * L {
        padded[1..2 * L + 1].copy_from_slice(&row[..2 * L]);
    } else if let Ok(x) = usize::try_from(x)
        && x + 2 * P <= row.len()
    {
        padded.copy_from_slice(&row[x..][..2 * P]);
    } else {
        let start = x.min(0).unsigned_abs().min(2 * P);
        let end = (row.len() as isize - x).clamp(start as isize, 2 * P as isize) as usize;
        padded[start..end].copy_from_slice(&row[(x + start as isize) as usize..][..end - start]);
    }
    let mut found = [[0.0_f32; L]; 4];
    for j in 0..L {
        let values = input([pairs[j][0], pairs[j][1], pairs[j + 1][0], pairs[j + 1][1]]);
        for (found, value) in found.iter_mut().zip(values) {
            found[j] = value;
        }
    }
    found
}

/// The weights of a stripe of rows, for the left operand of a product.
pub(super) struct Weights<'a> {
    /// `[rows, channels, 9]`
    pub(super) weights: &'a [f32],
    pub(super) channels: usize,
    /// Where in the weights each of the nine is.
    pub(super) order: [usize; 9],
    pub(super) rows: Range<usize>,
    pub(super) own: Range<usize>,
    /// `[16, depth, height]`, overwritten as far as there are rows.
    pub(super) into: &'a mut [f32],
    pub(super) height: usize,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.height {
            8 => self.stripe::<8>(),
            6 => self.stripe::<6>(),
            _ => self.stripe::<2>(),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Weights<'_> {
    #[inline(always)]
    fn stripe<const H: usize>(self) {
        let Self { weights, channels, order, rows, own, into, .. } = self;
        let size = into.len() / PLACES;
        for (k, channel) in own.enumerate() {
            let mut g = [[0.0_f32; H]; 9];
            for (i, row) in rows.clone().enumerate().take(H) {
                let from = &weights[(row * channels + channel) * 9..][..9];
                for (g, &at) in g.iter_mut().zip(&order) {
                    g[i] = from[at];
                }
            }
            let mut rows = [[[0.0_f32; H]; 3]; 4];
            for column in 0..3 {
                for i in 0..H {
                    let found = weight([g[column][i], g[3 + column][i], g[6 + column][i]]);
                    for (row, found) in rows.iter_mut().zip(found) {
                        row[column][i] = found;
                    }
                }
            }
            for (row, [a, b, c]) in rows.iter().enumerate() {
                let mut values = [[0.0_f32; H]; 4];
                for i in 0..H {
                    let found = weight([a[i], b[i], c[i]]);
                    for (values, found) in values.iter_mut().zip(found) {
                        values[i] = found;
                    }
                }
                for (column, values) in values.iter().enumerate() {
                    into[(4 * row + column) * size + k * H..][..H].copy_from_slice(values);
                }
            }
        }
    }
}

/// Sums of products as tiles of the output.
pub(super) struct Outputs<'a> {
    pub(super) tiles: Tiles,
    /// `[16, tiles / 32, rows, 32]`, with `pitch` values from a place to the next.
    pub(super) sums: &'a [f32],
    pub(super) pitch: usize,
    pub(super) rows: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// Height and width of the output.
    pub(super) grid: [usize; 2],
    /// `[batch, rows, grid]`, of which the own tiles are written.
    pub(super) y: *mut f32,
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.tiles.run() {
            32 => self.runs::<32>(),
            16 => self.runs::<16>(),
            8 => self.runs::<8>(),
            4 => self.runs::<4>(),
            2 => self.runs::<2>(),
            _ => self.runs::<1>(),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Outputs<'_> {
    #[inline(always)]
    fn runs<const L: usize>(self) {
        let Self { ref tiles, sums, pitch, rows, bias, grid: [height, width], y: to } = self;
        for first in tiles.own.clone().step_by(L) {
            let [image, y, x] = tiles.place(first);
            let (y, x) = (2 * y, 2 * x);
            let at = first - tiles.own.start;
            let at = at / COLUMNS * rows * COLUMNS + at % COLUMNS;
            for row in 0..rows {
                let bias = bias.map_or(0.0, |bias| bias[row]);
                let mut upper = [[0.0_f32; L]; 4];
                let mut lower = [[0.0_f32; L]; 4];
                for column in 0..4 {
                    let at = column * pitch + at + row * COLUMNS;
                    let (a, b) = (&sums[at..][..L], &sums[at + 4 * pitch..][..L]);
                    let (c, d) = (&sums[at + 8 * pitch..][..L], &sums[at + 12 * pitch..][..L]);
                    for j in 0..L {
                        [upper[column][j], lower[column][j]] = sum([a[j], b[j], c[j], d[j]]);
                    }
                }
                for (i, [a, b, c, d]) in [upper, lower].iter().enumerate().take(height - y) {
                    let mut pairs = [[0.0_f32; 2]; L];
                    for j in 0..L {
                        let [left, right] = sum([a[j], b[j], c[j], d[j]]);
                        pairs[j] = [left + bias, right + bias];
                    }
                    let count = (width - x).min(2 * L);
                    // SAFETY: the values lie in the row of these tiles, which are the caller's own.
                    unsafe {
                        let to = to.add(((image * rows + row) * height + y + i) * width + x);
                        let from = pairs.as_flattened().as_ptr();
                        if count == 2 * L {
                            from.copy_to_nonoverlapping(to, 2 * L);
                        } else {
                            from.copy_to_nonoverlapping(to, count);
                        }
                    }
                }
            }
        }
    }
}
