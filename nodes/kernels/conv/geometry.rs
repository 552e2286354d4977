//! The sizes of a convolution.

use super::windows::Windows;

/// A convolution without groups or dilation. Pairs are vertical, horizontal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Zeros above and to the left of the input; those below and to the right follow from the output's size.
    pub(super) padding: [usize; 2],
}

impl Geometry {
    /// Positions in a channel of the input.
    pub(super) fn in_size(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Positions in a channel of the output.
    pub(super) fn out_size(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Places of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Weights of one output channel.
    pub(super) fn depth(&self) -> usize {
        self.in_channels * self.taps()
    }

    /// Where the window of an output looks, from `stride` times its position.
    pub(super) fn places(&self) -> impl Iterator<Item = [isize; 2]> {
        let at = |axis: usize, k: usize| k as isize - self.padding[axis] as isize;
        (0..self.kernel[0]).flat_map(move |y| (0..self.kernel[1]).map(move |x| [at(0, y), at(1, x)]))
    }

    /// What each output sees of images, at `taps`, which are the [`Self::places`].
    pub(super) fn windows<'a, T>(&self, images: &'a [T], taps: &'a [[isize; 2]]) -> Windows<'a, T> {
        Windows {
            images,
            batch: self.batch,
            channels: self.in_channels,
            size: self.input,
            grid: self.output,
            stride: self.stride,
            taps,
        }
    }
}
