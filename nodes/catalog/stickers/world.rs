//! The world: any number of pictures, each by its index.

use dc_graph_node_api::NodeError;

use super::captions::{caption, say};
use super::composition::{Props, compose, portrait, reference};
use super::picks::Picks;
use super::scenes::Scene;
use super::subjects::{Cast, Subject};
use super::treatments::Treatment;

/// Raised whenever the same seed means other pictures than before.
const VERSION: u32 = 1;
/// Syllables of names that mean nothing, so that a text encoder learns what to make of a word it does not know.
const SYLLABLES: &[&str] =
    &["bo", "kri", "lu", "wem", "za", "ty", "quo", "fex", "ip", "dra", "gul", "nov", "sha", "jin", "mer", "coth", "vy"];

/// Everything that is said and shown of one picture.
pub(crate) struct Drawn {
    /// `[64, 64, 3]`
    pub(crate) target: Vec<u8>,
    pub(crate) caption: String,
    /// `[64, 64, 3]`
    pub(crate) reference: Vec<u8>,
    pub(crate) reference_caption: String,
    /// `[64, 64]`
    pub(crate) mask: Vec<u8>,
    pub(crate) subject: u64,
}

/// Subjects, scenes and treatments, and a seed that says how they are put together.
pub(crate) struct World {
    cast: Cast,
    props: Props,
    seed: u64,
    /// Of 100 pictures, so many more show two or three of their subject.
    several: usize,
}

impl World {
    pub(super) fn new(cast: Cast, seed: u64) -> Result<Self, NodeError> {
        Ok(Self { cast, props: Props::draw()?, seed, several: 0 })
    }

    /// The same world, but `percent` of 100 pictures are turned into ones that show two or three of their subject.
    pub(super) fn with_several(self, percent: usize) -> Self {
        Self { several: percent, ..self }
    }

    /// What tells this world from others.
    pub(crate) fn identity(&self) -> String {
        let font = self.cast.font_digest();
        let several = if self.several > 0 { format!(", several {}", self.several) } else { String::new() };
        format!("stickers {VERSION}, seed {}, font {}{several}", self.seed, font.as_deref().unwrap_or("none"))
    }

    /// How many subjects a split has, colors aside.
    pub(crate) fn count(&self, held_out: bool) -> usize {
        self.cast.count(held_out)
    }

    /// The picture `index` of a split.
    pub(crate) fn draw(&self, held_out: bool, index: usize) -> Result<Drawn, NodeError> {
        let mut picks = Picks::new(&[self.seed, u64::from(held_out), index as u64]);
        let subject = self.cast.pick(held_out, &mut picks);
        let treatment = if picks.chance(45) { Treatment::Plain } else { picks.of(&Treatment::ALL[1..]) };
        // By a stream of its own: the other pictures are what they are without.
        let mut turn = Picks::new(&[self.seed, index as u64, 0x7365_7665]);
        let turned = turn.chance(self.several);
        let treatment = if turned { turn.of(&[Treatment::Two, Treatment::Three]) } else { treatment };
        let scene = loop {
            let scene = picks.of(&Scene::ALL);
            if possible(scene, treatment) {
                break scene;
            }
        };
        let mut drawn = self.show(subject, scene, treatment, &mut picks)?;
        if picks.chance(4) {
            let name: String = (0..2 + picks.below(2)).map(|_| picks.of(SYLLABLES)).collect();
            drawn.caption = say(&name, &format!("{name}s"), treatment, scene);
            drawn.reference_caption = say(&name, &format!("{name}s"), Treatment::Plain, Scene::White);
        }
        Ok(drawn)
    }

    /// A certain subject in a certain scene; `picks` decides what is left open.
    pub(super) fn show(
        &self,
        subject: Subject,
        scene: Scene,
        treatment: Treatment,
        picks: &mut Picks,
    ) -> Result<Drawn, NodeError> {
        let sprite = self.cast.sprite(subject)?;
        let target = compose(&sprite, &self.props, scene, treatment, picks);
        let (reference, mask) = reference(&sprite, picks);
        let category = self.cast.category(subject);
        Ok(Drawn {
            target,
            caption: caption(category, treatment, scene),
            reference,
            reference_caption: caption(category, Treatment::Plain, Scene::White),
            mask,
            subject: self.cast.number(subject),
        })
    }

    /// The subject upright on white, and how much of each pixel it covers.
    pub(super) fn portrait(&self, subject: Subject) -> Result<(Vec<u8>, Vec<u8>), NodeError> {
        Ok(portrait(&self.cast.sprite(subject)?))
    }

    pub(super) fn cast(&self) -> &Cast {
        &self.cast
    }
}

/// Whether a picture can show both: without colors, plain backgrounds are all alike.
pub(super) fn possible(scene: Scene, treatment: Treatment) -> bool {
    !(treatment == Treatment::Grey && scene.is_plain())
}
