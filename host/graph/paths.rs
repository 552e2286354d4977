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
    let from: Vec<_> = folder.components().collect();
    let to: Vec<_> = target.components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if shared == 0 || from[shared..].contains(&Component::ParentDir) {
        return path.into();
    }
    let mut relative: PathBuf = from[shared..].iter().map(|_| Component::ParentDir).collect();
    relative.extend(&to[shared..]);
    // Documents use `/` on every system. The leading `./` keeps a bare word from being taken for a name.
    let written: Vec<_> = relative.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    match written.first() {
        None => ".".into(),
        Some(first) if first == ".." => written.join("/"),
        Some(_) => format!("./{}", written.join("/")),
    }
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
        ] {
            assert_eq!(relative_to(Path::new("/a/b"), path), expected);
        }
    }
}
