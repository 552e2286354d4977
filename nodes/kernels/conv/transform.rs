//! Winograd's transforms of F(4x4, 3x3), see [`super::winograd`]: `B^T d B` of inputs, `G g G^T` of weights, `A^T m A` of
//! sums. Not written with vectors, but compiled for those of the processor.
//!
//! Places are numbered row by row. 32 tiles are transformed at once; in images they are runs of `L` beside each other.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::gemm::{COLUMNS, turned};
use crate::simd::Number;

/// The side of a tile of the output.
pub(super) const TILE: usize = 4;
/// The side of what it sees of the input.
pub(super) const SEEN: usize = TILE + 2;
/// Places of a transformed tile.
pub(super) const PLACES: usize = SEEN * SEEN;
/// Weights of a pair of channels.
const TAPS: usize = 9;

/// Tiles of images, from the first of which one is done: a whole number of runs.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    /// In the order of images and rows, `[batch, down, across]`, at most 32.
    pub(super) own: Range<usize>,
    pub(super) down: usize,
    pub(super) across: usize,
}

impl Tiles {
    /// How many of a run lie beside each other.
    fn run(&self) -> usize {
        [32, 16, 8, 4, 2].into_iter().find(|run| self.across.is_multiple_of(*run)).unwrap_or(1)
    }

    /// Image, row and column of the first tile of each run of `L`.
    fn places<const L: usize>(&self) -> [[usize; 3]; COLUMNS] {
        std::array::from_fn(|i| {
            let tile = self.own.start + i * L;
            [tile / self.across / self.down, tile / self.across % self.down, tile % self.across]
        })
    }
}

/// `B^T d`, or `d B`: of six values.
#[inline(always)]
pub(super) fn input([a, b, c, d, e, f]: [f32; SEEN]) -> [f32; SEEN] {
    let (near, far) = (e - 2.0 * c, e - 0.5 * c);
    let (near_odd, far_odd) = (FRAC_1_SQRT_2 * (d - 2.0 * b), SQRT_2 * (d - 0.5 * b));
    [a + e - 2.5 * c, near + near_odd, near - near_odd, far + far_odd, far - far_odd, b + f - 2.5 * d]
}

/// What the polynomials at 0 and at all points but one make at that one, inverted.
const NEAR: f32 = -2.0 / 3.0;
const FAR: f32 = 1.0 / 6.0;

/// `G g`, or `g G^T`: of three values.
#[inline(always)]
fn weight([a, b, c]: [f32; 3]) -> [f32; SEEN] {
    let (near, far) = (NEAR * (a + 0.5 * c), FAR * (a + 2.0 * c));
    let (near_odd, far_odd) = (NEAR * FRAC_1_SQRT_2 * b, FAR * SQRT_2 * b);
    [a, near + near_odd, near - near_odd, far + far_odd, far - far_odd, c]
}

/// `A^T m`, or `m A`: of six values.
#[inline(always)]
fn sum([a, b, c, d, e, f]: [f32; SEEN]) -> [f32; TILE] {
    let (near, far) = (b + c, d + e);
    let (near_odd, far_odd) = (FRAC_1_SQRT_2 * (b - c), SQRT_2 * (d - e));
    [a + near + far, near_odd + far_odd, 0.5 * near + 2.0 * far, 0.5 * near_odd + 2.0 * far_odd + f]
}

/// `A y`, or `y A^T`: of four values, backwards through [`sum`].
#[inline(always)]
pub(super) fn spread([a, b, c, d]: [f32; TILE]) -> [f32; SEEN] {
    let (near, far) = (a + 0.5 * c, a + 2.0 * c);
    let (near_odd, far_odd) = (FRAC_1_SQRT_2 * (b + 0.5 * d), SQRT_2 * (b + 2.0 * d));
    [a, near + near_odd, near - near_odd, far + far_odd, far - far_odd, d]
}

/// `G^T u`, or `u G`: of six values, backwards through [`weight`].
#[inline(always)]
pub(super) fn gradient([a, b, c, d, e, f]: [f32; SEEN]) -> [f32; 3] {
    let (near, far) = (NEAR * (b + c), FAR * (d + e));
    let (near_odd, far_odd) = (NEAR * FRAC_1_SQRT_2 * (b - c), FAR * SQRT_2 * (d - e));
    [a + near + far, near_odd + far_odd, 0.5 * near + 2.0 * far + f]
}

/// Values of images in tiles, for the right operand of a product.
pub(super) struct Inputs<'a, T> {
    pub(super) tiles: Tiles,
    /// `[batch, channels, height, width]`
    pub(super) images: &'a [T],
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    /// Where the first tile of an image begins.
    pub(super) corner: [isize; 2],
    /// The channels that are wanted.
    pub(super) own: Range<usize>,
    /// `[36, channels, 32]`, with `pitch` values from a place to the next.
    pub(super) into: &'a mut [f32],
    pub(super) pitch: usize,
}

impl<T: Number> WithSimd for Inputs<'_, T> {
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
impl<T: Number> Inputs<'_, T> {
    /// With runs of `L` tiles, each less than `P` times four values wide.
    #[inline(always)]
    fn runs<const L: usize, const P: usize>(self) {
        let Self { ref tiles, images, channels, size: [height, width], corner, ref own, into, pitch } = self;
        let places = tiles.places::<L>();
        for (k, channel) in own.clone().enumerate() {
            // The value at a row and a column of what each tile sees.
            let mut seen = [[[0.0_f32; COLUMNS]; SEEN]; SEEN];
            for (first, [image, y, x]) in (0..COLUMNS).step_by(L).zip(&places).take(tiles.own.len().div_ceil(L)) {
                let (y, x) = ((TILE * y) as isize + corner[0], (TILE * x) as isize + corner[1]);
                let channel = &images[(image * channels + channel) * height * width..][..height * width];
                for (i, seen) in seen.iter_mut().enumerate() {
                    if let Some(y) = usize::try_from(y + i as isize).ok().filter(|y| *y < height) {
                        columns::<T, L, P>(&channel[y * width..][..width], x, seen, first);
                    }
                }
            }
            let mut rows = [[[0.0_f32; COLUMNS]; SEEN]; SEEN];
            for (row, seen) in rows.iter_mut().zip(&seen) {
                *row = of_lanes(seen.each_ref(), input);
            }
            for column in 0..SEEN {
                let row = |row: usize| &rows[row][column];
                let values = of_lanes([row(0), row(1), row(2), row(3), row(4), row(5)], input);
                for (row, values) in values.iter().enumerate() {
                    into[(SEEN * row + column) * pitch + k * COLUMNS..][..COLUMNS].copy_from_slice(values);
                }
            }
        }
    }
}

/// A transform of the values of each lane.
#[inline(always)]
pub(super) fn of_lanes<const L: usize, const N: usize, const M: usize>(
    values: [&[f32; L]; N],
    transform: impl Fn([f32; N]) -> [f32; M],
) -> [[f32; L]; M] {
    let mut found = [[0.0_f32; L]; M];
    for j in 0..L {
        let mut lane = [0.0; N];
        for (lane, values) in lane.iter_mut().zip(values) {
            *lane = values[j];
        }
        for (found, value) in found.iter_mut().zip(transform(lane)) {
            found[j] = value;
        }
    }
    found
}

/// The values of a row of an image, from `x` on, by their columns in what a run of tiles sees, that begins at `first`.
#[inline(always)]
fn columns<T: Number, const L: usize, const P: usize>(
    row: &[T],
    x: isize,
    seen: &mut [[f32; COLUMNS]; SEEN],
    first: usize,
) {
    let mut fours = [[T::default(); TILE]; P];
    let padded = fours.as_flattened_mut();
    if x == -1 && row.len() == TILE * L {
        padded[1..TILE * L + 1].copy_from_slice(&row[..TILE * L]);
    } else if let Ok(x) = usize::try_from(x)
        && x + TILE * P <= row.len()
    {
        padded.copy_from_slice(&row[x..][..TILE * P]);
    } else {
        let start = x.min(0).unsigned_abs().min(TILE * P);
        let end = (row.len() as isize - x).clamp(start as isize, (TILE * P) as isize) as usize;
        padded[start..end].copy_from_slice(&row[(x + start as isize) as usize..][..end - start]);
    }
    let mut streams = [[0.0_f32; P]; TILE];
    for j in 0..P {
        for (stream, value) in streams.iter_mut().zip(fours[j]) {
            stream[j] = value.wide();
        }
    }
    for (column, seen) in seen.iter_mut().enumerate() {
        seen[first..][..L].copy_from_slice(&streams[column % TILE][column / TILE..][..L]);
    }
}

/// The weights of some rows and channels, for the left operand of a product.
pub(super) struct Weights<'a, T> {
    /// `[rows, channels, 9]`
    pub(super) weights: &'a [T],
    pub(super) channels: usize,
    /// Where in the weights each of the nine is.
    pub(super) order: [usize; TAPS],
    pub(super) rows: Range<usize>,
    pub(super) own: Range<usize>,
    /// `[36, rows / height, channels, height]`, the places evenly apart, overwritten, with anything in the rows that are
    /// too many.
    pub(super) into: &'a mut [f32],
    pub(super) height: usize,
    /// Room for the weights of a stripe, before and after they are turned.
    pub(super) room: &'a mut [Vec<f32>; 2],
}

impl<T: Number> WithSimd for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.height {
            8 => self.stripes::<8, 16>(),
            6 => self.stripes::<6, 12>(),
            _ => self.stripes::<2, 4>(),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl<T: Number> Weights<'_, T> {
    /// Of rows in stripes of `H`, `P` weights, of two channels, at once.
    #[inline(always)]
    fn stripes<const H: usize, const P: usize>(self) {
        let Self { weights, channels, order, rows, own, into, room: [lines, steps], .. } = self;
        let len = own.len() * TAPS;
        lines.resize(H * len, 0.0);
        // The second one of a last pair may not be there.
        steps.resize(H * (len + TAPS), 0.0);
        let pitch = into.len() / PLACES;
        for (stripe, row) in rows.clone().step_by(H).enumerate() {
            // The last row stands in for those that there are not.
            for (row, line) in (row..).map(|row| row.min(rows.end - 1)).zip(lines.chunks_exact_mut(len)) {
                let from = &weights[(row * channels + own.start) * TAPS..][..len];
                for (line, value) in line.iter_mut().zip(from) {
                    *line = value.wide();
                }
            }
            let line = |i: usize| &lines[i * len..][..len];
            turned(std::array::from_fn(line), &mut steps.as_chunks_mut::<H>().0[..len]);
            for k in (0..own.len()).step_by(2) {
                let [first, second] = [0, 1].map(|i| &steps[(k + i) * TAPS * H..][..TAPS * H]);
                let mut g = [[0.0_f32; P]; TAPS];
                for (g, at) in g.iter_mut().zip(order) {
                    g[..H].copy_from_slice(&first[at * H..][..H]);
                    g[H..].copy_from_slice(&second[at * H..][..H]);
                }
                let mut rows = [[[0.0_f32; P]; 3]; SEEN];
                for column in 0..3 {
                    let found = of_lanes([&g[column], &g[3 + column], &g[6 + column]], weight);
                    for (row, found) in rows.iter_mut().zip(found) {
                        row[column] = found;
                    }
                }
                let count = P.min((own.len() - k) * H);
                for (row, found) in rows.iter().enumerate() {
                    let values = of_lanes(found.each_ref(), weight);
                    for (column, values) in values.iter().enumerate() {
                        let into = &mut into[(SEEN * row + column) * pitch + (stripe * own.len() + k) * H..];
                        match into.first_chunk_mut() {
                            Some(into) if count == P => *into = *values,
                            _ => into[..count].copy_from_slice(&values[..count]),
                        }
                    }
                }
            }
        }
    }
}

/// Sums of products as tiles of the output.
pub(super) struct Outputs<'a, T> {
    pub(super) tiles: Tiles,
    /// `[36, rows, 32]`, the places evenly apart.
    pub(super) sums: &'a [f32],
    /// Those whose sums these are, of `all_rows`.
    pub(super) rows: Range<usize>,
    pub(super) all_rows: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// Height and width of the output.
    pub(super) grid: [usize; 2],
    /// `[batch, all_rows, grid]`, of which the own tiles are written.
    pub(super) y: *mut T,
}

impl<T: Number> WithSimd for Outputs<'_, T> {
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
impl<T: Number> Outputs<'_, T> {
    #[inline(always)]
    fn runs<const L: usize>(self) {
        let Self { ref tiles, sums, ref rows, all_rows, bias, grid: [height, width], y: to } = self;
        let pitch = sums.len() / PLACES;
        let places = tiles.places::<L>();
        for (i, row) in rows.clone().enumerate() {
            let bias = bias.map_or(0.0, |bias| bias[row]);
            let mut lines = [[[0.0_f32; COLUMNS]; SEEN]; TILE];
            for column in 0..SEEN {
                let mut places = [[0.0_f32; COLUMNS]; SEEN];
                for (r, place) in places.iter_mut().enumerate() {
                    place.copy_from_slice(&sums[(SEEN * r + column) * pitch + i * COLUMNS..][..COLUMNS]);
                }
                for (line, found) in lines.iter_mut().zip(of_lanes(places.each_ref(), sum)) {
                    line[column] = found;
                }
            }
            let mut found = [[[0.0_f32; COLUMNS]; TILE]; TILE];
            for (found, line) in found.iter_mut().zip(&lines) {
                *found = of_lanes(line.each_ref(), |lane| {
                    let [a, b, c, d] = sum(lane);
                    [a + bias, b + bias, c + bias, d + bias]
                });
            }
            for (first, [image, y, x]) in (0..COLUMNS).step_by(L).zip(&places).take(tiles.own.len().div_ceil(L)) {
                let (y, x) = (TILE * y, TILE * x);
                let count = (width - x).min(TILE * L);
                for (i, found) in found.iter().enumerate().take(height - y) {
                    let [a, b, c, d] = found.each_ref().map(|found| &found[first..][..L]);
                    let mut fours = [[T::default(); TILE]; L];
                    for j in 0..L {
                        fours[j] = [a[j], b[j], c[j], d[j]].map(T::narrow);
                    }
                    // SAFETY: the values lie in the row of these tiles, which are the caller's own.
                    unsafe {
                        let to = to.add(((image * all_rows + row) * height + y + i) * width + x);
                        let from = fours.as_flattened().as_ptr();
                        // A length that is known is copied without a call.
                        if count == TILE * L {
                            from.copy_to_nonoverlapping(to, TILE * L);
                        } else {
                            from.copy_to_nonoverlapping(to, count);
                        }
                    }
                }
            }
        }
    }
}
