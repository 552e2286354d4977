//! File names with placeholders: `{prefix}-{index:03}.png`.

use std::path::{Component, Path, PathBuf};

use dc_graph_node_api::NodeError;

use crate::text::placeholders::{Piece, pieces};

/// What placeholders stand for.
pub(crate) struct Placeholders<'a> {
    /// `{prefix}`
    pub(crate) prefix: &'a str,
    /// `{index}`, or `{index:03}` with at least three digits.
    pub(crate) index: usize,
    /// `{width}`
    pub(crate) width: u32,
    /// `{height}`
    pub(crate) height: u32,
}

/// The pattern with its placeholders filled in; `{{` and `}}` are braces. The error says what is wrong with the pattern.
pub(crate) fn expand(pattern: &str, values: &Placeholders<'_>) -> Result<String, String> {
    let expanded = pieces(pattern).map_err(|brace| format!("an unpaired `{brace}`"))?.into_iter().map(|p| match p {
        Piece::Text(part) => Ok(part.into()),
        Piece::Gap(gap) => placeholder(gap, values),
    });
    expanded.collect()
}

fn placeholder(name: &str, values: &Placeholders<'_>) -> Result<String, String> {
    let (name, digits) = name.split_once(':').map_or((name, None), |(n, d)| (n, Some(d)));
    let digits = match digits {
        None => 0,
        Some(d) => d
            .strip_prefix('0')
            .and_then(|d| d.parse().ok())
            .filter(|d| *d <= 9)
            .ok_or_else(|| format!("`:{d}` is no number of digits; write `{{index:03}}` for three"))?,
    };
    match name {
        "prefix" if digits == 0 => Ok(values.prefix.into()),
        "index" => Ok(format!("{:0digits$}", values.index)),
        "width" => Ok(format!("{:0digits$}", values.width)),
        "height" => Ok(format!("{:0digits$}", values.height)),
        _ => Err(format!("no placeholder `{{{name}}}`; there are {{prefix}}, {{index}}, {{width}} and {{height}}")),
    }
}

/// The path as one inside the output folder: relative, without `..`.
pub(crate) fn inside(path: &str) -> Result<PathBuf, NodeError> {
    let refuse = |why: &str| {
        NodeError::input("path", format!("`{path}` {why}"))
            .with_hint("files are written below the output folder; choose another folder with `--output`")
    };
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(refuse("leads out of the output folder")),
            Component::RootDir | Component::Prefix(_) => return Err(refuse("is an absolute path")),
        }
    }
    if clean.file_name().is_none() || path.ends_with('/') || path.contains('\0') {
        return Err(refuse("names no file"));
    }
    Ok(clean)
}

/// The full path of a file inside the output folder, whose folders are made. `relative` comes from [`inside`].
pub(crate) fn place(folder: &Path, relative: &Path) -> Result<PathBuf, NodeError> {
    let path = folder.join(relative);
    let file_error = |source| NodeError::File { path: path.clone(), source };
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(folder).map_err(file_error)?;
    let root = folder.canonicalize().map_err(file_error)?;
    // A link inside the output folder may lead out of it: look before any folder is made behind it.
    let existing = parent.ancestors().find(|p| p.exists()).unwrap_or(folder);
    if !existing.canonicalize().map_err(file_error)?.starts_with(&root) {
        return Err(NodeError::input("path", format!("`{}` leads out of the output folder", relative.display())));
    }
    std::fs::create_dir_all(parent).map_err(file_error)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let values = Placeholders { prefix: "cat", index: 7, width: 64, height: 32 };
        let good = [
            ("a.png", "a.png"),
            ("{prefix}-{index}.png", "cat-7.png"),
            ("{index:03}/{width}x{height}.png", "007/64x32.png"),
            ("{{{index:01}}}", "{7}"),
        ];
        for (pattern, expected) in good {
            assert_eq!(expand(pattern, &values).as_deref(), Ok(expected));
        }
        for pattern in ["{", "a}", "{index", "{seed}", "{index:3}", "{index:0999}", "{prefix:03}", "{}", "{in{dex}"] {
            assert!(expand(pattern, &values).is_err(), "{pattern}");
        }
    }

    #[test]
    fn paths() {
        for (path, expected) in [("a.png", "a.png"), ("./a/b.png", "a/b.png"), ("..a/b..png", "..a/b..png")] {
            assert_eq!(inside(path).unwrap(), Path::new(expected));
        }
        for path in ["", ".", "a/", "../a.png", "a/../../b.png", "a/../b.png", "/tmp/a.png", "a\0.png"] {
            assert!(inside(path).unwrap_err().hint().is_some(), "{path}");
        }
    }
}
