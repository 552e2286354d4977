//! What a user allowed each plugin, remembered for exactly the code that asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::{Capability, Manifest};
use super::write::write_privately;

/// What one plugin may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grant {
    /// The plugin's id, for people who read the file.
    pub plugin: String,
    /// The folder that it may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_folder: Option<PathBuf>,
    /// The folder that it may write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_folder: Option<PathBuf>,
    /// Whether it may look at the clock.
    #[serde(default)]
    pub clock: bool,
    /// The hosts that it may send requests to: `example.org`, or `localhost:8080` when it is another port than usual.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub http: BTreeSet<String>,
}

/// All grants of a user, by the blake3 of the plugin's component: another build of a plugin has to be granted anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Grants(BTreeMap<String, Grant>);

/// Why grants cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold grants: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Grants {
    /// Reads the file of [`super::Places::grants`]; without a file nothing is granted.
    ///
    /// # Errors
    /// When it cannot be read or holds something else: grants are never guessed.
    pub fn read(path: &Path) -> Result<Self, GrantsError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(GrantsError::File { path: path.into(), source }),
        };
        serde_json::from_str(&text).map_err(|source| GrantsError::Syntax { path: path.into(), source })
    }

    /// Writes the file, for the user alone, as a whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), GrantsError> {
        let text =
            serde_json::to_string_pretty(self).map_err(|source| GrantsError::Syntax { path: path.into(), source })?;
        write_privately(path, text.as_bytes()).map_err(|source| GrantsError::File { path: path.into(), source })
    }

    /// What the plugin whose component has this blake3 may reach.
    pub fn of(&self, blake3: &str) -> Option<&Grant> {
        self.0.get(blake3)
    }

    /// Remembers a grant in the place of what there was.
    pub fn set(&mut self, blake3: &str, grant: Grant) {
        self.0.insert(blake3.into(), grant);
    }

    /// Forgets a grant; whether there was one.
    pub fn revoke(&mut self, blake3: &str) -> bool {
        self.0.remove(blake3).is_some()
    }

    /// All grants, by the blake3 of the component.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Grant)> {
        self.0.iter().map(|(blake3, grant)| (blake3.as_str(), grant))
    }

    /// What a plugin may reach: what it asks for *and* was granted.
    pub fn effective(&self, manifest: &Manifest) -> Grant {
        let none = Grant { plugin: manifest.plugin.id.clone(), ..Grant::default() };
        let Some(granted) = manifest.wasm.as_ref().and_then(|wasm| self.of(&wasm.blake3)) else { return none };
        let asks = |capability| manifest.plugin.capabilities.contains_key(&capability);
        let hosts = manifest.plugin.capabilities.get(&Capability::Http).map(|asked| &asked.hosts);
        Grant {
            read_folder: granted.read_folder.clone().filter(|_| asks(Capability::ReadFolder)),
            write_folder: granted.write_folder.clone().filter(|_| asks(Capability::WriteFolder)),
            clock: granted.clock && asks(Capability::Clock),
            http: hosts.map(|hosts| hosts.intersection(&granted.http).cloned().collect()).unwrap_or_default(),
            ..none
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn grant() -> Grant {
        Grant {
            plugin: "my-pack".into(),
            read_folder: Some("/pictures".into()),
            clock: true,
            http: ["example.org".into(), "example.com".into()].into(),
            ..Grant::default()
        }
    }

    #[test]
    fn grants_survive_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/grants.json");
        assert_eq!(Grants::read(&path).unwrap(), Grants::default());
        let mut grants = Grants::default();
        grants.set(DIGEST, grant());
        grants.write(&path).unwrap();
        let mut found = Grants::read(&path).unwrap();
        assert_eq!(found, grants);
        assert_eq!(found.of(DIGEST), Some(&grant()));
        assert!(found.revoke(DIGEST) && !found.revoke(DIGEST));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for broken in ["", "[]", r#"{"a": {"plugin": "x", "everything": true}}"#] {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(Grants::read(&path), Err(GrantsError::Syntax { .. })), "{broken:?}");
        }
    }

    #[test]
    fn asked_and_granted() {
        let manifest = |capabilities: &str| {
            Manifest::parse(&format!(
                "schema = 1\n[plugin]\nid = \"my-pack\"\nname = \"My pack\"\nversion = \"0.1.0\"\nlicense = \"MIT\"\n\
                 description = \"Something.\"\nnodes = []\n[plugin.capabilities]\n{capabilities}\n\
                 [wasm]\nfile = \"a.wasm\"\nblake3 = \"{DIGEST}\"\nwit = \"0.1.0\"\n"
            ))
            .unwrap()
        };
        let mut grants = Grants::default();
        let all = manifest(
            "read-folder = \"a\"\nwrite-folder = \"b\"\nclock = \"c\"\nhttp = { reason = \"d\", hosts = [\"example.org\"] }",
        );
        let nothing = Grant { plugin: "my-pack".into(), ..Grant::default() };
        assert_eq!(grants.effective(&all), nothing, "asked only");
        grants.set(DIGEST, grant());
        assert_eq!(grants.effective(&manifest("")), nothing, "granted only");
        assert_eq!(grants.effective(&all), Grant { http: ["example.org".into()].into(), ..grant() });
        grants.set(&DIGEST.replace('0', "1"), Grant { write_folder: Some("/".into()), ..grant() });
        assert_eq!(grants.effective(&all).write_folder, None, "granted to another build");
    }
}
