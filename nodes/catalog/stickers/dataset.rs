//! The world as a data set for training.

use dc_diffusion::Error;
use dc_diffusion::training::{Picture, Split, Triplet, Triplets};

use super::captions::words;
use super::composition::SIZE;
use super::world::World;

/// More pictures than any training asks for: they are drawn when they are needed.
const TRAIN: usize = 1 << 26;
/// The same of the held-out subjects, who are for measurements.
const HELD_OUT: usize = 1 << 16;

impl Triplets for World {
    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => TRAIN,
            Split::HeldOut => HELD_OUT,
        }
    }

    fn size(&self) -> [usize; 2] {
        [SIZE, SIZE]
    }

    fn get(&self, split: Split, index: usize) -> Result<Triplet, Error> {
        let len = Triplets::len(self, split);
        if index >= len {
            return Err(Error::Argument(format!("triplet {index} of {len}")));
        }
        let drawn = self.draw(split == Split::HeldOut, index).map_err(|e| Error::Argument(e.to_string()))?;
        let picture = |pixels| Picture { width: SIZE, height: SIZE, pixels };
        Ok(Triplet {
            target: picture(drawn.target),
            caption: drawn.caption,
            reference: picture(drawn.reference),
            reference_caption: drawn.reference_caption,
            mask: drawn.mask,
            subject: drawn.subject,
        })
    }

    fn words(&self) -> Vec<String> {
        words()
    }

    fn identity(&self) -> String {
        World::identity(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::stickers::subjects::Cast;

    fn world(seed: u64) -> World {
        World::new(Cast::new(None), seed).unwrap()
    }

    /// What is said of these pictures and who is in them, so that a change of what a seed means is seen. Not the pixels:
    /// sines may differ in their last bit from one machine to the next.
    #[test]
    fn a_seed_means_the_same_pictures() {
        let world = world(7);
        let mut hasher = blake3::Hasher::new();
        for index in 0..20 {
            let triplet = world.get(Split::Train, index).unwrap();
            assert_eq!(triplet, world.get(Split::Train, index).unwrap());
            hasher.update(triplet.caption.as_bytes());
            hasher.update(&triplet.subject.to_le_bytes());
        }
        assert_eq!(&hasher.finalize().to_hex()[..16], "3d7e4aed806dc995");
        assert_ne!(world.get(Split::Train, 0).unwrap(), world.get(Split::Train, 1).unwrap());
        assert_ne!(world.get(Split::Train, 0).unwrap(), self::world(8).get(Split::Train, 0).unwrap());
        assert!(world.get(Split::HeldOut, HELD_OUT).is_err());
    }

    #[test]
    fn some_pictures_are_turned_into_several() {
        let (usual, more) = (world(7), world(7).with_several(40));
        assert_ne!(usual.identity(), more.identity());
        let pairs = (0..100).map(|i| [&usual, &more].map(|world| world.get(Split::Train, i).unwrap()));
        let changed: Vec<_> = pairs.filter(|[usual, more]| usual != more).collect();
        assert!((25..50).contains(&changed.len()), "{}", changed.len());
        for [usual, more] in changed {
            assert!(["two ", "three "].iter().any(|n| more.caption.starts_with(n)), "{}", more.caption);
            assert_eq!(usual.subject, more.subject);
        }
    }

    #[test]
    fn splits_share_no_subject() {
        let world = world(0);
        let subjects = |split| -> HashSet<u64> {
            (0..300)
                .map(|i| world.get(split, i).unwrap().subject / crate::stickers::subjects::VARIANTS as u64)
                .collect()
        };
        assert!(subjects(Split::Train).is_disjoint(&subjects(Split::HeldOut)));
    }

    #[test]
    fn pictures_are_of_something() {
        let world = world(3);
        let known: HashSet<String> = words().into_iter().collect();
        let mut unknown = 0;
        for index in 0..60 {
            let triplet = world.get(Split::Train, index).unwrap();
            for picture in [&triplet.target, &triplet.reference] {
                assert_eq!(picture.pixels.len(), SIZE * SIZE * 3);
                assert!(picture.pixels.iter().collect::<HashSet<_>>().len() > 5, "{}", triplet.caption);
            }
            let covered = triplet.mask.iter().filter(|m| **m > 127).count();
            assert!((200..3600).contains(&covered), "{covered}");
            // Where the mask is empty the reference is white.
            let white = triplet.mask.iter().zip(triplet.reference.pixels.chunks_exact(3));
            assert!(white.filter(|(m, _)| **m == 0).all(|(_, p)| p == [255; 3]));
            let said = triplet.caption.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty());
            unknown += usize::from(said.filter(|w| !known.contains(*w)).count() > 0);
        }
        // Four captions of a hundred name a thing that nobody knows.
        assert!((1..8).contains(&unknown), "{unknown}");
    }
}
