//! What the classifier is asked of pictures of the sticker world.

use std::collections::BTreeMap;

use crate::stickers::captions::understand;
use crate::stickers::scenes::Scene;
use crate::stickers::treatments::Treatment;

/// The questions, in the order of their names.
pub(super) const SCENE: &str = "scene";
pub(super) const TREATMENT: &str = "treatment";

/// The treatments that a picture alone tells. Upside down is none of them: who can say it of a star, or of a thing never
/// seen before?
fn told() -> Vec<Treatment> {
    Treatment::ALL.into_iter().filter(|t| *t != Treatment::UpsideDown).collect()
}

/// Every answer to each question.
pub(super) fn answers() -> BTreeMap<String, Vec<String>> {
    let scenes = Scene::ALL.iter().map(|s| s.name().to_string()).collect();
    let treatments = told().iter().map(|t| t.name().to_string()).collect();
    BTreeMap::from([(SCENE.into(), scenes), (TREATMENT.into(), treatments)])
}

/// The right answers to both questions for a caption of the world, by their index; nothing when it leaves them open.
pub(super) fn right(caption: &str) -> Option<Vec<usize>> {
    let (scene, treatment) = understand(caption)?;
    let scene = Scene::ALL.iter().position(|s| *s == scene)?;
    Some(vec![scene, told().iter().position(|t| *t == treatment)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_answer() {
        let answers = answers();
        let words = |caption: &str| {
            let found = right(caption)?;
            Some([answers[SCENE][found[0]].clone(), answers[TREATMENT][found[1]].clone()])
        };
        assert_eq!(
            words("a sticker of a bird in front of a brick wall"),
            Some(["brick wall".into(), "sticker".into()])
        );
        assert_eq!(words("a bird under water, at the top"), Some(["water".into(), "top".into()]));
        assert_eq!(words("an upside down bird on the beach"), None);
        assert_eq!(words("a bird"), None);
    }
}
