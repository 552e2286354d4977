//! What captions call subjects.

/// A kind of subject as captions name it: `a bird`, `three birds`. Never which one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Category {
    pub(crate) name: &'static str,
    pub(crate) plural: &'static str,
}

/// All of them, by name.
pub(crate) const CATEGORIES: &[Category] = &[
    of("animal", "animals"),
    of("bag", "bags"),
    of("ball", "balls"),
    of("bear", "bears"),
    of("bike", "bikes"),
    of("bird", "birds"),
    of("boat", "boats"),
    of("book", "books"),
    of("bottle", "bottles"),
    of("box", "boxes"),
    of("bread", "breads"),
    of("bug", "bugs"),
    of("building", "buildings"),
    of("cake", "cakes"),
    of("camera", "cameras"),
    of("car", "cars"),
    of("cat", "cats"),
    of("chair", "chairs"),
    of("clock", "clocks"),
    of("cloud", "clouds"),
    of("computer", "computers"),
    of("cow", "cows"),
    of("dish", "dishes"),
    of("dog", "dogs"),
    of("drink", "drinks"),
    of("face", "faces"),
    of("fish", "fish"),
    of("flower", "flowers"),
    of("fruit", "fruits"),
    of("hat", "hats"),
    of("heart", "hearts"),
    of("horse", "horses"),
    of("house", "houses"),
    of("instrument", "instruments"),
    of("lamp", "lamps"),
    of("lock", "locks"),
    of("medal", "medals"),
    of("monkey", "monkeys"),
    of("monster", "monsters"),
    of("mouse", "mice"),
    of("mug", "mugs"),
    of("object", "objects"),
    of("pen", "pens"),
    of("phone", "phones"),
    of("plane", "planes"),
    of("plant", "plants"),
    of("reptile", "reptiles"),
    of("shellfish", "shellfish"),
    of("shirt", "shirts"),
    of("shoe", "shoes"),
    of("snack", "snacks"),
    of("star", "stars"),
    of("sweet", "sweets"),
    of("tool", "tools"),
    of("toy", "toys"),
    of("train", "trains"),
    of("tree", "trees"),
    of("truck", "trucks"),
    of("vegetable", "vegetables"),
];

const fn of(name: &'static str, plural: &'static str) -> Category {
    Category { name, plural }
}

/// The category of a name.
pub(crate) fn category(name: &str) -> Option<Category> {
    CATEGORIES.binary_search_by(|c| c.name.cmp(name)).ok().map(|i| CATEGORIES[i])
}

/// `a` or `an`, by the first letter.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_found() {
        assert!(CATEGORIES.windows(2).all(|w| w[0].name < w[1].name));
        for known in CATEGORIES {
            assert_eq!(category(known.name), Some(*known));
        }
        assert_eq!(category("flag"), None);
        assert_eq!((article("object"), article("bird")), ("an", "a"));
    }
}
