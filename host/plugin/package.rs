//! A plugin as it is handed around: a folder or an archive with `plugin.toml` and one `.wasm`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::{ArchiveError, unpack};
use super::manifest::{Manifest, ManifestError};

/// The largest file that is read into memory.
const MAX_FILE: u64 = 128 << 20;

/// What makes up a plugin, in memory: nothing else of a folder or an archive is looked at or installed.
#[derive(Debug)]
pub struct Package {
    /// Its manifest.
    pub manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

/// Why a package is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not read.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// Which one.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The archive is not read.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// There is no manifest.
    #[error("there is no `plugin.toml` in it, nor in its only folder")]
    NoManifest,
    /// The manifest is not accepted.
    #[error("`plugin.toml`: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest names no component.
    #[error("`plugin.toml`: there is no `[wasm]` table")]
    NoWasm,
    /// The component is not there.
    #[error("`{0}` is not there, which `plugin.toml` names")]
    NoFile(String),
    /// The component is another one.
    #[error("`{file}` has the blake3 {found}, `plugin.toml` says {expected}")]
    Digest {
        /// The component's file.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Files that go along with a plugin without being needed by it.
fn is_paper(name: &str) -> bool {
    let name = name.to_lowercase();
    !name.contains('/') && ["readme", "license", "licence", "copying", "notice"].iter().any(|p| name.starts_with(p))
}

impl Package {
    /// Reads a folder or an archive and checks manifest and digest. Runs nothing.
    ///
    /// # Errors
    /// As [`PackageError`] says.
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        if path.is_dir() {
            return Self::of(folder(path)?);
        }
        let mut files = unpack(path, &read(path)?)?;
        if !files.contains_key("plugin.toml") {
            // As many tools pack: everything in one folder.
            let top = files.keys().find_map(|name| name.split_once('/')).map(|(top, _)| format!("{top}/"));
            let top = top.ok_or(PackageError::NoManifest)?;
            files = files
                .into_iter()
                .filter_map(|(name, bytes)| Some((name.strip_prefix(&top)?.to_owned(), bytes)))
                .collect();
        }
        Self::of(files)
    }

    fn of(mut files: BTreeMap<String, Vec<u8>>) -> Result<Self, PackageError> {
        let text = files.get("plugin.toml").ok_or(PackageError::NoManifest)?;
        let manifest = Manifest::parse(&String::from_utf8_lossy(text))?;
        let wasm = manifest.wasm.as_ref().ok_or(PackageError::NoWasm)?;
        let bytes = files.get(&wasm.file).ok_or_else(|| PackageError::NoFile(wasm.file.clone()))?;
        let found = blake3::hash(bytes).to_hex().to_string();
        if found != wasm.blake3 {
            return Err(PackageError::Digest { file: wasm.file.clone(), expected: wasm.blake3.clone(), found });
        }
        files.retain(|name, _| name == "plugin.toml" || *name == wasm.file || is_paper(name));
        Ok(Self { manifest, files })
    }

    /// Writes the package as a folder, which must not be there yet.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), PackageError> {
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            let failed = |source| PackageError::File { path: path.clone(), source };
            fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            fs::write(&path, bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts the package into a folder of plugins, as the folder of its id, in the place of another version. Whole or not
    /// at all: written beside, then renamed. `check` sees the folder before it is in its place, and can refuse it.
    ///
    /// # Errors
    /// When a file cannot be written; what `check` says.
    pub fn install<E: From<PackageError>>(
        &self,
        plugins: &Path,
        check: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PackageError::File { path, source }
        };
        fs::create_dir_all(plugins).map_err(failed(plugins))?;
        let target = plugins.join(&self.manifest.plugin.id);
        // Names that begin with a dot are no plugins, so nobody finds what is left when the power fails.
        let beside = |what: &str| plugins.join(format!(".{}.{what}.{}", self.manifest.plugin.id, std::process::id()));
        let (new, old) = (beside("new"), beside("old"));
        let result = self.write(&new).map_err(E::from).and_then(|()| check(&new)).and_then(|()| {
            let replaces = target.exists();
            if replaces {
                fs::rename(&target, &old).map_err(failed(&target))?;
            }
            fs::rename(&new, &target).map_err(|source| {
                if replaces {
                    let _ = fs::rename(&old, &target);
                }
                PackageError::File { path: target.clone(), source }
            })?;
            Ok(())
        });
        let _ = fs::remove_dir_all(&new);
        let _ = fs::remove_dir_all(&old);
        result.map(|()| target)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PackageError> {
    let failed = |source| PackageError::File { path: path.into(), source };
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    let refused = |reason| PackageError::Refused { path: path.into(), reason };
    if !meta.is_file() {
        return Err(refused("expected a file, found a link or something else"));
    }
    if meta.len() > MAX_FILE {
        return Err(refused("is larger than 128 MiB"));
    }
    fs::read(path).map_err(failed)
}

/// The files of a folder that belong to the plugin; links are not followed.
fn folder(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    let failed = |source| PackageError::File { path: path.into(), source };
    if !path.join("plugin.toml").exists() {
        return Err(PackageError::NoManifest);
    }
    let text = read(&path.join("plugin.toml"))?;
    let manifest = Manifest::parse(&String::from_utf8_lossy(&text))?;
    let mut files = BTreeMap::from([("plugin.toml".to_owned(), text)]);
    if let Some(wasm) = manifest.wasm {
        if !path.join(&wasm.file).exists() {
            return Err(PackageError::NoFile(wasm.file));
        }
        files.insert(wasm.file.clone(), read(&path.join(&wasm.file))?);
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_paper(name)) {
            files.insert(name.into(), read(&path.join(name))?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(blake3: &str) -> String {
        format!(
            "schema = 1\n[plugin]\nid = \"my-pack\"\nname = \"My pack\"\nversion = \"0.1.0\"\nlicense = \"MIT\"\n\
             description = \"Something.\"\nnodes = [\"A\"]\n[wasm]\nfile = \"a.wasm\"\nblake3 = \"{blake3}\"\nwit = \"0.1.0\"\n"
        )
    }

    fn plugin(folder: &Path, contents: &[u8]) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("plugin.toml"), manifest(&blake3::hash(contents).to_hex())).unwrap();
        fs::write(folder.join("a.wasm"), contents).unwrap();
    }

    #[test]
    fn installs_what_belongs_to_it_in_the_place_of_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let (source, plugins) = (dir.path().join("source"), dir.path().join("plugins"));
        plugin(&source, b"one");
        fs::write(source.join("README.md"), "read me").unwrap();
        fs::write(source.join("secret.key"), "not for others").unwrap();
        let install = |check: fn(&Path) -> Result<(), PackageError>| {
            Package::read(&source).and_then(|p| p.install(&plugins, check))
        };
        let target = install(|_| Ok(())).unwrap();
        assert_eq!(target, plugins.join("my-pack"));
        let names = |folder: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&target), ["README.md", "a.wasm", "plugin.toml"]);

        plugin(&source, b"two");
        assert!(install(|_| Err(PackageError::NoWasm)).is_err());
        assert_eq!(fs::read(target.join("a.wasm")).unwrap(), b"one", "refused: the old one stays");
        install(|_| Ok(())).unwrap();
        assert_eq!(fs::read(target.join("a.wasm")).unwrap(), b"two");
        assert_eq!(names(&plugins), ["my-pack"], "nothing is left beside it");
    }

    #[test]
    fn refuses_what_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path();
        assert!(matches!(Package::read(source), Err(PackageError::NoManifest)));
        fs::write(source.join("plugin.toml"), manifest(&"0".repeat(64))).unwrap();
        assert!(matches!(Package::read(source), Err(PackageError::NoFile(_))));
        fs::write(source.join("a.wasm"), "x").unwrap();
        assert!(matches!(Package::read(source), Err(PackageError::Digest { .. })));
        #[cfg(unix)]
        {
            fs::remove_file(source.join("a.wasm")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", source.join("a.wasm")).unwrap();
            assert!(matches!(Package::read(source), Err(PackageError::Refused { .. } | PackageError::NoFile(_))));
        }
    }
}
