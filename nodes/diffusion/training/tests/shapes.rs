//! A data set for tests: discs and squares of a colour on a grey of some shade, 16 pixels wide.

use crate::error::Error;
use crate::training::{Picture, Split, Triplet, Triplets};

pub(super) struct Shapes;

const SIDE: usize = 16;

fn picture(background: u8, color: [u8; 3], disc: bool) -> (Picture, Vec<u8>) {
    let inside = |i: usize| {
        let [x, y] = [i % SIDE, i / SIDE].map(|v| (v as f32 - 7.5).abs());
        if disc { x.hypot(y) < 5.0 } else { x.max(y) < 4.0 }
    };
    let mask: Vec<u8> = (0..SIDE * SIDE).map(|i| if inside(i) { 255 } else { 0 }).collect();
    let pixels = mask.iter().flat_map(|m| if *m > 0 { color } else { [background; 3] }).collect();
    (Picture { width: SIDE, height: SIDE, pixels }, mask)
}

impl Triplets for Shapes {
    fn len(&self, split: Split) -> usize {
        if split == Split::Train { 60 } else { 8 }
    }

    fn size(&self) -> [usize; 2] {
        [SIDE; 2]
    }

    fn get(&self, split: Split, index: usize) -> Result<Triplet, Error> {
        let subject = if split == Split::Train { index / 2 } else { 30 + index };
        let color = [subject * 37, subject * 91 + 40, subject * 53 + 80].map(|c| (c % 256) as u8);
        let (shade, name) = if index.is_multiple_of(2) { (60, "night") } else { (170, "fog") };
        let disc = subject.is_multiple_of(3);
        let what = if disc { "disc" } else { "square" };
        let (target, _) = picture(shade, color, disc);
        let (reference, mask) = picture(255, color, disc);
        Ok(Triplet {
            target,
            caption: format!("a {what} in {name}"),
            reference,
            reference_caption: format!("a {what} on white"),
            mask,
            subject: subject as u64,
        })
    }

    fn words(&self) -> Vec<String> {
        ["a", "disc", "square", "in", "on", "night", "fog", "white"].map(String::from).to_vec()
    }

    fn identity(&self) -> String {
        "shapes".into()
    }
}
