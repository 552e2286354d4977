//! What training learns from: triplets of a target picture, a caption and a reference picture of the same subject.

use crate::error::Error;

/// A picture of 8 bits a sample, as data sets hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Red, green, blue, row by row: `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

/// A subject in a scene, what the scene is, and the subject alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triplet {
    /// The picture to learn to draw.
    pub target: Picture,
    /// What the text controls: category, scene and treatment, never the identity.
    pub caption: String,
    /// The subject on white.
    pub reference: Picture,
    /// What a caption calls the reference: `a bird on white`. A base model learns from it what a reference looks like.
    pub reference_caption: String,
    /// How much of each pixel of the reference is subject, 0 to 255: `[height, width]`.
    pub mask: Vec<u8>,
    /// The same number for the same subject, in both splits.
    pub subject: u64,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What training may see.
    Train,
    /// Subjects that no stage of training sees: for curves, sample sheets and evaluation.
    HeldOut,
}

/// A source of triplets with random access. It has no state: the same split and index give the same triplet, from any
/// thread, in any order and in any process, so that a training run is resumed exactly by its step alone.
///
/// Data sets that are drawn by a program are made of a seed, name as many indices as there may be use for, and draw
/// each triplet when it is asked for.
pub trait Triplets: Send + Sync {
    /// Number of triplets in a split. The held-out split may be empty.
    fn len(&self, split: Split) -> usize;

    /// Whether a split is empty.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Height and width of every target and reference, in pixels.
    fn size(&self) -> [usize; 2];

    /// A triplet, drawn or read now.
    ///
    /// # Errors
    /// When `index` is not below [`len`](Self::len), and of the files behind the data set.
    fn get(&self, split: Split, index: usize) -> Result<Triplet, Error>;

    /// Every word that a caption may hold, for the vocabulary of a text encoder that is trained from nothing.
    fn words(&self) -> Vec<String>;

    /// What tells this data set from others (a seed and a version, or a digest of files): a training run is resumed on
    /// the data that it began with only.
    fn identity(&self) -> String;
}
