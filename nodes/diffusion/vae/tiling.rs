//! Large pictures in overlapping tiles.

use burn::tensor::Tensor;

use crate::error::Error;

/// How latents are cut into tiles, in latents (8 pixels each). The default is what diffusers does: tiles of the size
/// that Stable Diffusion was trained at, a quarter of which overlaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Height and width of a tile.
    pub tile: usize,
    /// By how much neighbouring tiles overlap, at least.
    pub overlap: usize,
}

impl Default for Tiling {
    fn default() -> Self {
        Self { tile: 64, overlap: 16 }
    }
}

impl Tiling {
    /// Whether tiles get anywhere.
    pub(super) fn validate(self) -> Result<(), Error> {
        if self.overlap < self.tile {
            return Ok(());
        }
        let Self { tile, overlap } = self;
        Err(Error::Argument(format!("tiles of {tile} latents should be larger than their overlap of {overlap}")))
    }

    /// Where the tiles of an axis begin. All have one size: the last one overlaps more rather than being smaller, which
    /// gives the norms and the attention as much to see.
    fn starts(self, length: usize) -> Vec<usize> {
        let Some(last) = length.checked_sub(self.tile) else { return vec![0] };
        (0..last).step_by(self.tile - self.overlap).chain([last]).collect()
    }
}

/// Applies `f`, which enlarges height and width by `factor`, to each tile and joins the results.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels of f, height * factor, width * factor]`
pub(super) fn map(x: Tensor<4>, tiling: Tiling, factor: usize, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if height <= tiling.tile && width <= tiling.tile {
        return f(x);
    }
    along(&x, 2, height, tiling, factor, |row| along(&row, 3, width, tiling, factor, &f))
}

/// The same along one axis.
fn along(
    x: &Tensor<4>,
    axis: usize,
    length: usize,
    tiling: Tiling,
    factor: usize,
    f: impl Fn(Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let tile = |start: usize| f(x.clone().narrow(axis, start, tiling.tile.min(length)));
    let mut starts = tiling.starts(length).into_iter();
    let first = tile(starts.next().unwrap_or(0));
    starts.fold(first, |joined, start| fade(joined, tile(start), axis, start * factor))
}

/// `next` put into `before` at `start`, fading from one to the other where both are.
fn fade(before: Tensor<4>, next: Tensor<4>, axis: usize, start: usize) -> Tensor<4> {
    let (length, tile) = (before.dims()[axis], next.dims()[axis]);
    let overlap = length - start;
    if overlap == 0 {
        return Tensor::cat(vec![before, next], axis);
    }
    let mut shape = [1; 4];
    shape[axis] = overlap;
    let weights: Vec<f32> = (0..overlap).map(|i| i as f32 / overlap as f32).collect();
    let weights = Tensor::<1>::from_floats(weights.as_slice(), &before.device()).cast(before.dtype()).reshape(shape);
    let old = before.clone().narrow(axis, start, overlap);
    let mixed = old.clone() + (next.clone().narrow(axis, 0, overlap) - old) * weights;
    Tensor::cat(vec![before.narrow(axis, 0, start), mixed, next.narrow(axis, overlap, tile - overlap)], axis)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::testing::{check_close, values};

    #[test]
    fn tiles_cover_the_axis_and_overlap() {
        let check = |tile, overlap, length, expected: &[usize]| {
            assert_eq!(Tiling { tile, overlap }.starts(length), expected, "{tile} {overlap} {length}");
        };
        check(64, 16, 64, &[0]);
        check(64, 16, 20, &[0]);
        check(64, 16, 65, &[0, 1]);
        check(64, 16, 112, &[0, 48]);
        check(64, 16, 113, &[0, 48, 49]);
        check(64, 16, 256, &[0, 48, 96, 144, 192]);
        check(2, 0, 5, &[0, 2, 3]);
        assert!(Tiling { tile: 8, overlap: 8 }.validate().is_err());
        assert!(Tiling { tile: 0, overlap: 0 }.validate().is_err());
        assert!(Tiling::default().validate().is_ok());
    }

    #[test]
    fn tiles_that_agree_join_without_a_trace() {
        let x = Tensor::<4>::random([2, 3, 11, 7], Distribution::Default, &Device::flex());
        for (tile, overlap) in [(4, 1), (4, 3), (5, 0), (7, 2), (11, 4)] {
            let double = |x: Tensor<4>| x.repeat_dim(1, 2);
            let tiled = map(x.clone(), Tiling { tile, overlap }, 1, double);
            check_close("tiled", &values(&tiled), &values(&double(x.clone())), 1e-6);
        }
    }

    #[test]
    fn tiles_fade_from_one_to_the_next() {
        let device = Device::flex();
        let (zeros, ones) = (Tensor::<4>::zeros([1, 1, 1, 6], &device), Tensor::<4>::ones([1, 1, 1, 6], &device));
        let joined = fade(zeros, ones, 3, 2);
        check_close("faded", &values(&joined), &[0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0], 1e-6);
    }
}
