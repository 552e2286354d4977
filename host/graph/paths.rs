//! What a relative path counts from.

use std::path::{Component, Path, PathBuf};

/// A path as nodes get it: absolute, or a name that is no file.
///
/// Names with a scheme (`random:sd15-tiny`) pass unchanged, and so do bare words (`pocket`) unless a file or folder of
/// that name is there: nodes may know them.
pub fn resolve_path(folder: &Path, text: &str) -> String {
    let bare = !text.contains(['/', '\\', '.']);
    if has_scheme(text) || Path::new(text).is_absolute() || (bare && !folder.join(text).exists()) {
        return text.into();
    }
    // Leaves out `./` but keeps `..`: behind a symbolic link it means something else than the folder before it.
    let path: PathBuf = folder.join(text).components().filter(|c| !matches!(c, Component::CurDir)).collect();
    path.display().to_string()
}

/// Whether a text begins like `random:`. One letter and a colon is a drive of Windows.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c))
    })
}

/// An absolute path as it is written in a document in `folder`: what [`resolve_path`] turns back.
pub(crate) fn relative_to(folder: &Path, path: &str) -> String {
    let target = Path::new(path);
    if !target.is_absolute() || !folder.is_absolute() {
        return path.into();
    }
    let (from, to) = (without_parents(folder), without_parents(target));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| "..".into());
    let down = to[shared..].iter().map(|c| c.as_os_str().to_string_lossy());
    // Documents use `/` on every system.
    let written: Vec<_> = up.chain(down).collect();
    let relative = match written.first() {
        None => ".".into(),
        Some(first) if first == ".." => written.join("/"),
        // The leading `./` keeps a bare word from being taken for a name.
        Some(_) => format!("./{}", written.join("/")),
    };
    // Another drive, or a `..` behind a symbolic link, leads elsewhere.
    let found = Path::new(&resolve_path(folder, &relative)).canonicalize().ok();
    if shared == 0 || found != target.canonicalize().ok() { path.into() } else { relative }
}

/// The parts of a path, each `..` taken back with the part before it.
fn without_parents(path: &Path) -> Vec<Component<'_>> {
    let mut parts = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            (Component::ParentDir, Some(Component::RootDir)) | (Component::CurDir, _) => {}
            _ => parts.push(part),
        }
    }
    parts
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_count_from_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        for (text, expected) in [
            ("cat.png", inside("cat.png")),
            ("./cat.png", inside("cat.png")),
            ("pictures/cat", inside("pictures/cat")),
            ("../cat.png", inside("../cat.png")),
            ("model", inside("model")),
            ("pocket", "pocket".into()),
            ("random:sd15-tiny", "random:sd15-tiny".into()),
            ("/tmp/cat.png", "/tmp/cat.png".into()),
            ("C:cat.png", inside("C:cat.png")),
        ] {
            let found = resolve_path(folder.path(), text);
            assert_eq!(found, expected, "{text}");
            let again = relative_to(folder.path(), &found);
            assert!(!Path::new(&again).is_absolute(), "{again}");
            if !text.starts_with('/') {
                assert_eq!(resolve_path(folder.path(), &again), found, "{text} written as {again}");
            }
        }
    }

    #[test]
    fn absolute_paths_are_written_relative() {
        for (path, expected) in [
            ("/a/b/cat.png", "./cat.png"),
            ("/a/b", "."),
            ("/a/cat.png", "../cat.png"),
            ("/c/cat.png", "../../c/cat.png"),
            ("pocket", "pocket"),
            ("/a/b/../c.png", "../c.png"),
        ] {
            assert_eq!(relative_to(Path::new("/a/b"), path), expected);
            assert_eq!(relative_to(Path::new("/a/x/../b"), path), expected);
        }
    }

    #[test]
    fn links_that_lead_elsewhere_stay_absolute() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(inside("deep/er")).unwrap();
        std::fs::write(inside("cat.png"), "cat").unwrap();
        std::os::unix::fs::symlink(inside("deep/er"), inside("link")).unwrap();
        let cat = inside("cat.png").display().to_string();
        assert_eq!(relative_to(&inside("deep"), &cat), "../cat.png");
        assert_eq!(relative_to(&inside("deep/er/.."), &cat), "../cat.png");
        assert_eq!(relative_to(&inside("link/.."), &cat), cat);
    }
}
