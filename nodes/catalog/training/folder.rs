//! A folder of triplets, in the form in which synthetic data sets are made: for each picture `NAME.png` a caption
//! `NAME.txt` and the mask of its subject `NAME.mask.png`. The subject, cut out and laid on white, is the reference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dc_diffusion::Error;
use dc_diffusion::training::{Picture, Split, Triplet, Triplets};

use crate::image::convert::{Format, read};
use crate::image::pixels::Samples;
use crate::image::resample::{Filter, resample};
use crate::image::segment_reference::lay_on_white;

/// Around the subject of a reference, as `Segment Reference` leaves it.
const MARGIN: f64 = 0.05;

/// The triplets of a folder. Captions are read at once, pictures when they are asked for.
pub(super) struct Folder {
    train: Vec<Entry>,
    held_out: Vec<Entry>,
    size: usize,
    identity: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    image: PathBuf,
    mask: PathBuf,
    caption: String,
    subject: u64,
}

/// The pictures of a folder that have a caption, by name, and all files that belong to them. The error names what is
/// wrong with the folder.
pub(super) fn list(root: &Path) -> Result<(Vec<Entry>, Vec<PathBuf>), String> {
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    let entries = std::fs::read_dir(root).map_err(|e| failed(root, e))?;
    let mut images: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_mask = |path: &Path| path.file_stem().is_some_and(|s| Path::new(s).extension().is_some_and(|e| e == "mask"));
    images.retain(|path| Format::of(path).is_some() && !is_mask(path));
    images.sort();
    let (mut found, mut files) = (Vec::new(), Vec::new());
    for (subject, image) in images.into_iter().enumerate() {
        let [text, mask] = [image.with_extension("txt"), image.with_extension("mask.png")];
        let caption = std::fs::read_to_string(&text).map_err(|e| failed(&text, e))?;
        if !mask.is_file() {
            return Err(format!("{}: no such file; every picture needs the mask of its subject", mask.display()));
        }
        files.extend([image.clone(), mask.clone(), text]);
        found.push(Entry { image, mask, caption: caption.trim().into(), subject: subject as u64 });
    }
    if found.is_empty() {
        return Err(format!("{}: no pictures; a triplet is `NAME.png`, `NAME.mask.png`, `NAME.txt`", root.display()));
    }
    Ok((found, files))
}

impl Folder {
    /// Every `held_out`-th triplet is held out; none when that is 0. Pictures become squares of `size` pixels.
    pub(super) fn new(entries: Vec<Entry>, held_out: usize, size: usize, identity: String) -> Self {
        let is_held_out = |entry: &Entry| held_out > 0 && (entry.subject as usize + 1).is_multiple_of(held_out);
        let (held_out, train) = entries.into_iter().partition(is_held_out);
        Self { train, held_out, size, identity }
    }

    fn entries(&self, split: Split) -> &[Entry] {
        match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        }
    }
}

impl Triplets for Folder {
    fn len(&self, split: Split) -> usize {
        self.entries(split).len()
    }

    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }

    fn get(&self, split: Split, index: usize) -> Result<Triplet, Error> {
        let entries = self.entries(split);
        let Some(entry) = entries.get(index) else {
            return Err(Error::Argument(format!("triplet {index} of {}", entries.len())));
        };
        let malformed = |path: &Path, message: String| Error::Malformed { path: path.into(), message };
        let open = |path: &Path| read(path).map_err(|e| malformed(path, e.to_string()));
        let (image, _) = open(&entry.image)?;
        let (mask, _) = open(&entry.mask)?;
        if (image.width(), image.height()) != (mask.width(), mask.height()) {
            let sizes = [&image, &mask].map(|i| format!("{}x{}", i.width(), i.height()));
            return Err(malformed(&entry.mask, format!("has {} pixels, its picture {}", sizes[1], sizes[0])));
        }
        let mut mask = Samples::of(&mask).into_rgb_over([0.0; 3]);
        mask = Samples { channels: 1, values: mask.values.chunks_exact(3).map(|p| p[0]).collect(), ..mask };
        let laid = lay_on_white(&image, &mask, MARGIN, self.size);
        let (_, reference, mask) = laid.ok_or_else(|| malformed(&entry.mask, "the mask is empty".into()))?;
        // The largest square in the middle.
        let target = Samples::of(&image).into_rgb_over([1.0; 3]);
        let side = target.width.min(target.height);
        let target = target.crop((target.width - side) / 2, (target.height - side) / 2, side, side);
        Ok(Triplet {
            target: picture(&resample(&target, self.size, self.size, Filter::Lanczos)),
            caption: entry.caption.clone(),
            reference: picture(&reference),
            reference_caption: entry.caption.clone(),
            mask: bytes(&mask.values),
            subject: entry.subject,
        })
    }

    fn words(&self) -> Vec<String> {
        let captions = self.train.iter().chain(&self.held_out).map(|entry| &entry.caption);
        let words: BTreeSet<String> =
            captions.flat_map(|c| c.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>()).collect();
        words.into_iter().collect()
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}

fn picture(samples: &Samples) -> Picture {
    Picture { width: samples.width, height: samples.height, pixels: bytes(&samples.values) }
}
