//! Names: which are allowed, which one was probably meant, and the words of port types.

use dc_graph_node_api::PortType;

/// How many names may be compared for suggestions in one validation. A document of 100,000 dangling links would
/// otherwise take a day to explain.
const MAX_COMPARISONS: usize = 2_000_000;

/// Whether something may be an id of a node, or the name of an input or output of the graph.
pub(crate) fn is_name(name: &str) -> bool {
    name.chars().enumerate().all(|(i, c)| c.is_alphanumeric() || (i > 0 && matches!(c, '-' | '_'))) && !name.is_empty()
}

/// Finds the name that was probably meant, and stops looking after a while.
#[derive(Default)]
pub(crate) struct Suggestions {
    compared: usize,
}

impl Suggestions {
    /// The candidate nearest to `name`, if one is near.
    pub(crate) fn nearest<'a>(&mut self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let wanted = plain(name);
        if self.compared > MAX_COMPARISONS || wanted.len() > 100 {
            return None;
        }
        // A third of the letters may be wrong, and one always may unless the name is a single letter.
        let allowed = match wanted.chars().count() {
            0 | 1 => 0,
            count => (count / 3).max(1),
        };
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates {
            self.compared += 1;
            if candidate.len().abs_diff(wanted.len()) > 2 * allowed + 8 {
                continue;
            }
            let distance = strsim::damerau_levenshtein(&wanted, &plain(candidate));
            if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, name)| name)
    }

    /// `did you mean ..`, if one is near.
    pub(crate) fn did_you_mean<'a>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        self.nearest(name, candidates).map(|near| format!("did you mean `{near}`?"))
    }
}

/// Capitals, spaces and dashes are no difference: `load_image` means `Load Image`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// `` `a`, `b` and `c` ``
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let mut quoted: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match quoted.pop() {
        None => String::new(),
        Some(only) if quoted.is_empty() => only,
        Some(end) => format!("{} {last} {end}", quoted.join(", ")),
    }
}

/// `a` or `an`, as it is spoken before a word.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(|c: char| "aeiouAEIOU".contains(c)) { "an" } else { "a" }
}

/// Reads a port type as it is written: `text`, `core:text`, `list<number>`, `dc:latents`.
pub(crate) fn port_type(text: &str) -> Option<PortType> {
    // Each level of `list<..>` is one call; a type deeper than a few levels is nonsense.
    fn read(text: &str, depth: usize) -> Option<PortType> {
        let word = text.strip_prefix("core:").unwrap_or(text);
        if let Some(of) = word.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
            return if depth < 4 { read(of, depth + 1).map(PortType::list) } else { None };
        }
        Some(match word {
            "boolean" => PortType::Boolean,
            "integer" => PortType::Integer,
            "number" => PortType::Number,
            "text" => PortType::Text,
            "path" => PortType::Path,
            "image" => PortType::Image,
            "mask" => PortType::Mask,
            _ => {
                let (pack, name) = text.split_once(':')?;
                if pack == "core" || !is_name(pack) || !is_name(name) {
                    return None;
                }
                PortType::Native(text.to_owned().into())
            }
        })
    }
    read(text, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_types_are_read_as_they_print() {
        for (text, printed) in [
            ("text", Some("core:text")),
            ("core:integer", Some("core:integer")),
            ("list<number>", Some("core:list<core:number>")),
            ("core:list<core:list<path>>", Some("core:list<core:list<core:path>>")),
            ("dc:reference-cache", Some("dc:reference-cache")),
            ("string", None),
            ("core:string", None),
            ("list<>", None),
            ("list<text", None),
            ("dc:", None),
            ("", None),
        ] {
            let found = port_type(text);
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), printed, "{text}");
            if let Some(ty) = found {
                assert_eq!(port_type(&ty.to_string()), Some(ty));
            }
        }
        assert_eq!(port_type(&format!("{}text{}", "list<".repeat(1 << 20), ">".repeat(1 << 20))), None);
    }

    #[test]
    fn suggests_what_was_meant() {
        let types = ["Load Image", "Load Model", "Resize", "Encode VAE", "Decode VAE", "Sample"];
        for (name, near) in [
            ("Load Imgae", Some("Load Image")),
            ("load_image", Some("Load Image")),
            ("resise", Some("Resize")),
            ("DecodeVae", Some("Decode VAE")),
            ("Sampler", Some("Sample")),
            ("Upscale", None),
            ("", None),
        ] {
            assert_eq!(Suggestions::default().nearest(name, types), near, "{name}");
        }
        let mut tired = Suggestions { compared: MAX_COMPARISONS + 1 };
        assert_eq!(tired.nearest("resize", types), None);
    }

    #[test]
    fn names_and_lists() {
        for (name, allowed) in
            [("a", true), ("load-1_b", true), ("é", true), ("", false), ("-a", false), ("a.b", false)]
        {
            assert_eq!(is_name(name), allowed, "{name}");
        }
        assert_eq!(list(["a", "b", "c"], "and"), "`a`, `b` and `c`");
        assert_eq!(list(["a"], "or"), "`a`");
        assert_eq!((article("Encode VAE"), article("Resize")), ("an", "a"));
    }
}
