//! Files inside one folder, whatever a path says.
//!
//! Links are resolved first and the result has to lie in the folder. A plugin can make no links, so nothing changes between
//! the check and the use, unless another program of the user does it on purpose.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::write::replace;

/// What [`entries`] finds.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) folder: bool,
    pub(super) size: u64,
}

/// Bytes that are read between two looks at the run.
const PART: u64 = 8 << 20;

/// Reads a file of at most `limit` bytes. `go_on` is asked again and again and ends the reading with an error of its own.
pub(super) fn read<E>(
    folder: &Path,
    path: &str,
    limit: u64,
    mut go_on: impl FnMut() -> Result<(), E>,
) -> Result<Result<Vec<u8>, String>, E> {
    let failed = |error: std::io::Error| format!("cannot read `{path}`: {error}");
    let mut file = match open(folder, path) {
        Ok(file) => file,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut bytes = Vec::new();
    loop {
        go_on()?;
        match file.by_ref().take(PART).read_to_end(&mut bytes) {
            Ok(0) => return Ok(Ok(bytes)),
            Ok(_) if bytes.len() as u64 > limit => {
                let left = format!("larger than the {limit} bytes that are left of `buffers-mib`");
                return Ok(Err(format!("cannot read `{path}`: {left}")));
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(failed(error))),
        }
    }
}

fn open(folder: &Path, path: &str) -> Result<fs::File, String> {
    let place = existing(folder, path)?;
    let failed = |error: std::io::Error| format!("cannot read `{path}`: {error}");
    // Anything but a plain file could keep the reader waiting for ever.
    if !fs::metadata(&place).map_err(failed)?.is_file() {
        return Err(format!("cannot read `{path}`: not a file"));
    }
    fs::File::open(&place).map_err(failed)
}

/// What is in a folder, by name. What has a name that is not UTF-8 is left out.
pub(super) fn entries(folder: &Path, path: &str) -> Result<Vec<Entry>, String> {
    let failed = |error: std::io::Error| format!("cannot list `{path}`: {error}");
    let mut entries = Vec::new();
    for entry in fs::read_dir(existing(folder, path)?).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Links are told as what they are, not as what they lead to, which may lie outside.
        let kind = entry.metadata().map_err(failed)?;
        if kind.is_dir() || kind.is_file() {
            let size = if kind.is_dir() { 0 } else { kind.len() };
            entries.push(Entry { name, folder: kind.is_dir(), size });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Writes a file as a whole and makes the folders it needs; where it is.
pub(super) fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("cannot write `{path}`: {error}");
    let (root, inside) = inside(folder, path)?;
    let Some(name) = inside.file_name() else { return Err(format!("cannot write `{path}`: not the name of a file")) };
    let mut place = root.clone();
    for part in inside.parent().into_iter().flat_map(Path::components) {
        place.push(part);
        match fs::create_dir(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => place = within(&root, &place, path)?,
        }
    }
    let place = place.join(name);
    if place.is_dir() {
        return Err(format!("cannot write `{path}`: a folder is there"));
    }
    // A link that is there is replaced, not followed.
    replace(&place, bytes, false).map_err(failed)?;
    Ok(place)
}

/// The real folder, and the path inside it as it is spelt.
fn inside(folder: &Path, path: &str) -> Result<(PathBuf, PathBuf), String> {
    let root = fs::canonicalize(folder).map_err(|error| format!("the folder that was granted is gone: {error}"))?;
    let relative = match Path::new(path).is_absolute() {
        true => Path::new(path).strip_prefix(folder).or_else(|_| Path::new(path).strip_prefix(&root)).ok(),
        false => Some(Path::new(path)),
    };
    let plain = |path: &&Path| path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    match relative.filter(plain) {
        Some(relative) => Ok((root, relative.into())),
        None => Err(outside(path)),
    }
}

fn existing(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let (root, relative) = inside(folder, path)?;
    within(&root, &root.join(relative), path)
}

/// Follows links and checks where they end.
fn within(root: &Path, place: &Path, path: &str) -> Result<PathBuf, String> {
    let real = fs::canonicalize(place).map_err(|error| format!("cannot open `{path}`: {error}"))?;
    if real.starts_with(root) { Ok(real) } else { Err(outside(path)) }
}

fn outside(path: &str) -> String {
    format!("`{path}` is outside the folder that was granted")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(folder: &Path, path: &str, limit: u64) -> Result<Vec<u8>, String> {
        super::read(folder, path, limit, || Ok::<_, ()>(())).unwrap()
    }

    #[test]
    fn reading_can_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "inside").unwrap();
        let mut asked = 0;
        let end = || {
            asked += 1;
            if asked == 2 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(super::read(dir.path(), "a", 100, end), Err("enough"));
    }

    #[test]
    fn nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (granted, secret) = (dir.path().join("granted"), dir.path().join("secret"));
        fs::create_dir_all(granted.join("deep")).unwrap();
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("key"), "secret").unwrap();
        fs::write(granted.join("deep/a"), "inside").unwrap();
        symlink(secret.join("key"), granted.join("link")).unwrap();
        symlink(&secret, granted.join("door")).unwrap();
        symlink("deep/a", granted.join("fine")).unwrap();
        let absolute = granted.join("deep/a").display().to_string();
        for path in ["deep/a", "./deep/a", "fine", &absolute] {
            assert_eq!(read(&granted, path, 100).unwrap(), b"inside", "{path}");
        }
        let key = secret.join("key").display().to_string();
        let sneaky = format!("{}/../secret/key", granted.display());
        for path in ["link", "door/key", "../secret/key", "deep/../../secret/key", &key, &sneaky, "/etc/passwd"] {
            let error = read(&granted, path, 100).unwrap_err();
            assert!(error.contains("outside the folder"), "{path}: {error}");
        }
        for path in ["door/new", "../new", "door/deeper/new", "deep/../../new", "/tmp/new"] {
            let error = write(&granted, path, b"x").unwrap_err();
            assert!(error.contains("outside the folder"), "{path}: {error}");
        }
        assert!(read(&granted, "deep", 100).unwrap_err().contains("not a file"));
        assert!(read(&granted, "deep/a", 3).unwrap_err().contains("larger than the 3 bytes"));
        assert!(read(&granted, "nul\0", 3).is_err());
        assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
        write(&granted, "link", b"mine").unwrap();
        assert_eq!(fs::read(secret.join("key")).unwrap(), b"secret", "the link was replaced, not followed");
        write(&granted, "new/folders/b", b"two").unwrap();
        assert_eq!(read(&granted, "new/folders/b", 100).unwrap(), b"two");
        for path in ["", "deep", "."] {
            assert!(write(&granted, path, b"x").is_err(), "{path:?}");
        }
        let names: Vec<_> = entries(&granted, "").unwrap().into_iter().map(|e| (e.name, e.folder, e.size)).collect();
        assert_eq!(names, [("deep".into(), true, 0), ("link".into(), false, 4), ("new".into(), true, 0)]);
        assert!(entries(&granted, "door").is_err());
    }
}
