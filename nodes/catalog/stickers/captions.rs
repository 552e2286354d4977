//! The language of the world: everything that captions can say.

use std::collections::BTreeSet;

use super::categories::{CATEGORIES, Category, article};
use super::scenes::Scene;
use super::treatments::Treatment;

/// `a small bird on the beach`.
pub(crate) fn caption(category: Category, treatment: Treatment, scene: Scene) -> String {
    say(category.name, category.plural, treatment, scene)
}

/// The same of a thing by any name.
pub(super) fn say(name: &str, plural: &str, treatment: Treatment, scene: Scene) -> String {
    let scene = scene.phrase();
    let a = article(name);
    match treatment {
        Treatment::Plain => format!("{a} {name} {scene}"),
        Treatment::UpsideDown => format!("an upside down {name} {scene}"),
        Treatment::Grey => format!("a grey picture of {a} {name} {scene}"),
        Treatment::Sticker => format!("a sticker of {a} {name} {scene}"),
        Treatment::Two => format!("two {plural} {scene}"),
        Treatment::Three => format!("three {plural} {scene}"),
        Treatment::Balloon => format!("{a} {name} with a balloon {scene}"),
        Treatment::Crown => format!("{a} {name} with a crown {scene}"),
        Treatment::Left => format!("{a} {name} {scene}, at the left"),
        Treatment::Right => format!("{a} {name} {scene}, at the right"),
        Treatment::Top => format!("{a} {name} {scene}, at the top"),
        Treatment::Bottom => format!("{a} {name} {scene}, at the bottom"),
        Treatment::Small => format!("a small {name} {scene}"),
    }
}

/// The scene and the treatment that a caption tells, whatever the subject is called; nothing when it tells no scene.
pub(crate) fn understand(caption: &str) -> Option<(Scene, Treatment)> {
    let placed = [
        (", at the left", Treatment::Left),
        (", at the right", Treatment::Right),
        (", at the top", Treatment::Top),
        (", at the bottom", Treatment::Bottom),
    ];
    let place = placed.into_iter().find_map(|(end, treatment)| Some((caption.strip_suffix(end)?, treatment)));
    let (rest, place) = place.map_or((caption, None), |(rest, treatment)| (rest, Some(treatment)));
    let scene = Scene::ALL.into_iter().find(|scene| rest.ends_with(scene.phrase()))?;
    let subject = rest.strip_suffix(scene.phrase())?.trim_end();
    let treatment = place.unwrap_or(match subject {
        s if s.starts_with("an upside down ") => Treatment::UpsideDown,
        s if s.starts_with("a grey picture of ") => Treatment::Grey,
        s if s.starts_with("a sticker of ") => Treatment::Sticker,
        s if s.starts_with("two ") => Treatment::Two,
        s if s.starts_with("three ") => Treatment::Three,
        s if s.starts_with("a small ") => Treatment::Small,
        s if s.ends_with(" with a balloon") => Treatment::Balloon,
        s if s.ends_with(" with a crown") => Treatment::Crown,
        _ => Treatment::Plain,
    });
    Some((scene, treatment))
}

/// Every word that a caption may hold, made-up names aside, in alphabetical order.
pub(crate) fn words() -> Vec<String> {
    let mut words = BTreeSet::new();
    let mut add = |text: &str| {
        words.extend(text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).map(String::from));
    };
    for category in CATEGORIES {
        for treatment in Treatment::ALL {
            add(&caption(*category, treatment, Scene::White));
        }
    }
    for scene in Scene::ALL {
        add(scene.phrase());
    }
    words.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stickers::categories::category;

    #[test]
    fn captions() {
        let of = |name, treatment, scene| caption(category(name).unwrap(), treatment, scene);
        assert_eq!(of("bird", Treatment::Plain, Scene::Beach), "a bird on the beach");
        assert_eq!(of("animal", Treatment::Sticker, Scene::Grass), "a sticker of an animal on the grass");
        assert_eq!(of("mouse", Treatment::Three, Scene::Bricks), "three mice in front of a brick wall");
        assert_eq!(of("mug", Treatment::Left, Scene::Snow), "a mug in the snow, at the left");
        for scene in Scene::ALL {
            for treatment in Treatment::ALL {
                let said = say("zabo", "zabos", treatment, scene);
                assert_eq!(understand(&said), Some((scene, treatment)), "{said}");
            }
        }
        assert_eq!(understand("a bird on the moon"), None);
        let words = words();
        assert!(words.windows(2).all(|w| w[0] < w[1]) && words.contains(&"mice".into()), "{words:?}");
    }
}
