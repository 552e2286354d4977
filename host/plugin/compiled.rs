//! Compiled components, kept from one start of the program to the next.
//!
//! Machine code from a file is run without further checks, so the file has to be our own. It lies in a folder that the user
//! alone can enter, and begins with a seal: the keyed Blake3 of its name and contents, under a random secret that lies
//! elsewhere, beside the user's plugins. The name says what was compiled: the component's digest, the compiler's version and
//! settings. So a file that was damaged, exchanged, renamed, copied from another user or written by somebody who cannot read
//! the secret has the wrong seal, and the component is compiled again. The bytes that are run are those that were checked,
//! not read again. (Who can read the user's secret can run programs as the user, and needs no plugin.)

use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::write::write_privately;

const SEAL: usize = blake3::OUT_LEN;

/// Where compiled components are kept.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    folder: PathBuf,
    secret: [u8; 32],
}

impl Compiled {
    /// Looks for the secret, and makes it when there is none.
    pub(super) fn open(folder: &Path, secret: &Path) -> io::Result<Self> {
        let secret = match fs::read(secret) {
            Ok(bytes) if bytes.len() == 32 => bytes,
            Ok(_) => fresh_secret(secret)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh_secret(secret)?,
            Err(error) => return Err(error),
        };
        let secret = <[u8; 32]>::try_from(secret.as_slice()).map_err(io::Error::other)?;
        Ok(Self { folder: folder.into(), secret })
    }

    /// The component whose file has this digest, if it was compiled before by this compiler with these settings.
    pub(super) fn load(&self, engine: &Engine, digest: &blake3::Hash) -> Option<Component> {
        let name = name(engine, digest);
        let file = fs::read(self.folder.join(&name)).ok()?;
        let (seal, code) = file.split_at_checked(SEAL)?;
        // Comparing hashes takes the same time wherever they differ.
        if self.seal(&name, code) != blake3::Hash::from_slice(seal).ok()? {
            return None;
        }
        // SAFETY: the seal proves that these bytes were written by `store`, which got them from `Component::serialize`.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    /// Keeps a component. That it cannot be kept is no failure: it will be compiled again.
    pub(super) fn store(&self, engine: &Engine, digest: &blake3::Hash, component: &Component) {
        let Ok(code) = component.serialize() else { return };
        let name = name(engine, digest);
        let mut file = Vec::with_capacity(SEAL + code.len());
        file.extend(self.seal(&name, &code).as_bytes());
        file.extend(code);
        let _ = write_privately(&self.folder.join(name), &file);
    }

    fn seal(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(name.as_bytes()).update(b"\0").update(code);
        hasher.finalize()
    }
}

/// A new secret, written; or that of another process that was faster.
fn fresh_secret(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    write_privately(path, &secret)?;
    fs::read(path)
}

/// What was compiled, by which version of the compiler, with which settings: the engine tells the latter two.
fn name(engine: &Engine, digest: &blake3::Hash) -> String {
    /// All that a hash is made of.
    struct Bytes(blake3::Hasher);
    impl Hasher for Bytes {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut settings = Bytes(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    settings.write(digest.as_bytes());
    format!("{}.compiled", settings.0.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &str = "(component (core module (func (export \"f\") (result i32) i32.const 7)))";

    fn only_file(folder: &Path) -> PathBuf {
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let file = files.next().unwrap();
        assert!(files.next().is_none());
        file
    }

    #[test]
    fn only_what_is_sealed_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, secret) = (dir.path().join("compiled"), dir.path().join("data/secret"));
        let engine = Engine::default();
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let digest = blake3::hash(&bytes);
        let component = Component::new(&engine, &bytes).unwrap();
        let compiled = Compiled::open(&folder, &secret).unwrap();
        assert!(compiled.load(&engine, &digest).is_none());
        compiled.store(&engine, &digest, &component);
        assert!(compiled.load(&engine, &digest).is_some());
        assert!(Compiled::open(&folder, &secret).unwrap().load(&engine, &digest).is_some(), "by the next process");
        assert!(compiled.load(&engine, &blake3::hash(b"another")).is_none());

        let file = only_file(&folder);
        let whole = fs::read(&file).unwrap();
        let mut middle = whole.clone();
        middle[whole.len() / 2] ^= 1;
        let mut seal = whole.clone();
        seal[0] ^= 1;
        for tampered in [&middle[..], &seal, &whole[..whole.len() - 1], &whole[..SEAL], &whole[..5], b""] {
            fs::write(&file, tampered).unwrap();
            assert!(compiled.load(&engine, &digest).is_none());
        }
        compiled.store(&engine, &digest, &component);
        assert!(compiled.load(&engine, &digest).is_some(), "compiled again");

        // A sealed file under another name: the code of one plugin in the place of another's.
        let other = blake3::hash(b"another");
        fs::copy(&file, folder.join(name(&engine, &other))).unwrap();
        assert!(compiled.load(&engine, &other).is_none());
        let foreign = Compiled::open(&folder, &dir.path().join("data/other secret")).unwrap();
        assert!(foreign.load(&engine, &digest).is_none(), "sealed by another user");
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        assert!(compiled.load(&Engine::new(&config).unwrap(), &digest).is_none(), "other settings");
    }

    #[test]
    #[cfg(unix)]
    fn nobody_else_can_look() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (folder, secret) = (dir.path().join("compiled"), dir.path().join("data/secret"));
        let engine = Engine::default();
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let compiled = Compiled::open(&folder, &secret).unwrap();
        compiled.store(&engine, &blake3::hash(&bytes), &Component::new(&engine, &bytes).unwrap());
        for (path, mode) in [(folder.clone(), 0o700), (only_file(&folder), 0o600), (secret, 0o600)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }
}
