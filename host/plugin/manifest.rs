//! `plugin.toml`: what a node pack says about itself before any of it runs. One schema for the built-in pack and for others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path};

use dc_graph_node_api::{NodeSpec, PortType};
use serde::{Deserialize, Serialize};

use super::limits::LimitsTable;

/// The version of the manifest's schema that this host reads.
const SCHEMA: u32 = 1;

/// What a pack may reach beyond the inputs of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// The files that its nodes' path inputs name.
    ReadFiles,
    /// Files in the output folder of a run, and those that path inputs name.
    WriteFiles,
    /// The compute device of a run.
    Device,
    /// One folder that the user names, to read.
    ReadFolder,
    /// One folder that the user names, to write.
    WriteFolder,
    /// The wall clock.
    Clock,
    /// Requests to hosts that the manifest names.
    Http,
}

impl Capability {
    /// Whether it is for the built-in pack alone: components cannot have it.
    fn is_native(self) -> bool {
        matches!(self, Self::ReadFiles | Self::WriteFiles | Self::Device)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadFiles => "read-files",
            Self::WriteFiles => "write-files",
            Self::Device => "device",
            Self::ReadFolder => "read-folder",
            Self::WriteFolder => "write-folder",
            Self::Clock => "clock",
            Self::Http => "http",
        })
    }
}

/// What a manifest says about a capability it asks for: `clock = "REASON"`, or
/// `http = { reason = "REASON", hosts = ["example.org"] }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "AskedAs")]
pub struct Asked {
    /// What it is for, as a person reads it who is to allow it.
    pub reason: String,
    /// The hosts that requests go to; for `http` only.
    pub hosts: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AskedAs {
    Reason(String),
    Table(AskedTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedTable {
    reason: String,
    #[serde(default)]
    hosts: BTreeSet<String>,
}

impl From<AskedAs> for Asked {
    fn from(asked: AskedAs) -> Self {
        match asked {
            AskedAs::Reason(reason) => Self { reason, hosts: BTreeSet::new() },
            AskedAs::Table(AskedTable { reason, hosts }) => Self { reason, hosts },
        }
    }
}

/// A node pack's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The schema's version: 1.
    pub schema: u32,
    /// Who it is. All that follows stands in the file's `[plugin]` table.
    pub plugin: Plugin,
    /// The component that holds the nodes; absent in the built-in pack.
    pub wasm: Option<Wasm>,
    /// What a call of its nodes needs beyond the defaults.
    #[serde(default)]
    pub limits: LimitsTable,
}

/// The `[plugin]` table of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// A short word, lower case: the prefix of its port types.
    pub id: String,
    /// The name a person reads.
    pub name: String,
    /// `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// An SPDX expression.
    pub license: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// Who made it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// What it asks to reach, each with the reason that a person who is to allow it reads.
    #[serde(default)]
    pub capabilities: BTreeMap<Capability, Asked>,
    /// The node types it brings, as documents name them.
    pub nodes: BTreeSet<String>,
    /// The opaque port types it brings.
    #[serde(default)]
    pub types: BTreeSet<String>,
}

/// The `[wasm]` table of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wasm {
    /// The component's file, relative to the manifest and not above it.
    pub file: String,
    /// The digest of that file: 64 hexadecimal digits, lower case.
    pub blake3: String,
    /// The version of the WIT package it was built against: `MAJOR.MINOR.PATCH`.
    pub wit: String,
}

/// Why a manifest is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not of this schema.
    #[error("not a manifest: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A value that is not allowed.
    #[error("`{field}`: {message}")]
    Field {
        /// Where in the manifest.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The manifest and the nodes that came with it disagree.
    #[error("the manifest and the nodes disagree: {0}")]
    Disagrees(String),
}

impl Manifest {
    /// Reads a manifest and checks every value.
    ///
    /// # Errors
    /// As [`ManifestError`] says.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)?;
        let field = |field, message: String| Err(ManifestError::Field { field, message });
        let Self { schema, plugin, wasm, limits: _ } = &manifest;
        if *schema != SCHEMA {
            return field("schema", format!("expected {SCHEMA}, found {schema}"));
        }
        if !is_id(&plugin.id) {
            return field("id", format!("expected a word of a to z, 0 to 9 and `-`, found `{}`", plugin.id));
        }
        if !is_version(&plugin.version) {
            return field("version", format!("expected `MAJOR.MINOR.PATCH`, found `{}`", plugin.version));
        }
        for (name, text) in [("name", &plugin.name), ("license", &plugin.license), ("description", &plugin.description)]
        {
            if text.trim().is_empty() {
                return field(name, "is empty".into());
            }
        }
        let texts = [&plugin.name, &plugin.license, &plugin.description].into_iter();
        let texts = texts.chain(&plugin.authors).chain(&plugin.nodes).chain(&plugin.types);
        let texts = texts.chain(plugin.capabilities.values().map(|asked| &asked.reason));
        // They are shown on terminals, which might obey.
        if let Some(text) = texts.into_iter().find(|text| text.chars().any(char::is_control)) {
            return field("plugin", format!("control characters in `{}`", text.escape_debug()));
        }
        for (capability, asked) in &plugin.capabilities {
            if let Some(message) = capability_problem(*capability, asked, wasm.is_some()) {
                return field("capabilities", message);
            }
        }
        let prefix = format!("{}:", plugin.id);
        if let Some(other) = plugin.types.iter().find(|t| !t.starts_with(&prefix)) {
            return field("types", format!("expected names that begin with `{prefix}`, found `{other}`"));
        }
        if let Some(wasm) = wasm {
            if !is_inside(&wasm.file) {
                return field("file", format!("expected a file beside the manifest, found `{}`", wasm.file));
            }
            if wasm.blake3.len() != 64 || !wasm.blake3.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            {
                return field("blake3", format!("expected 64 hexadecimal digits, found `{}`", wasm.blake3));
            }
            if !is_version(&wasm.wit) {
                return field("wit", format!("expected `MAJOR.MINOR.PATCH`, found `{}`", wasm.wit));
            }
        }
        Ok(manifest)
    }

    /// Checks that a pack brings exactly the nodes and port types that its manifest names. Ports of other packs' types are
    /// allowed.
    ///
    /// # Errors
    /// [`ManifestError::Disagrees`] with every difference.
    pub fn check<'a>(&self, specs: impl IntoIterator<Item = &'a NodeSpec>) -> Result<(), ManifestError> {
        let prefix = format!("{}:", self.plugin.id);
        let mut nodes = BTreeSet::new();
        let mut types = BTreeSet::new();
        for spec in specs {
            nodes.insert(spec.type_name.clone());
            let ports = spec.inputs.iter().map(|i| &i.ty).chain(spec.outputs.iter().map(|o| &o.ty));
            types.extend(ports.filter_map(native_name).filter(|name| name.starts_with(&prefix)));
        }
        let mut problems = Vec::new();
        let mut compare = |what: &str, said: &BTreeSet<String>, found: &BTreeSet<String>| {
            problems.extend(said.difference(found).map(|n| format!("{what} `{n}` is named but not there")));
            problems.extend(found.difference(said).map(|n| format!("{what} `{n}` is there but not named")));
        };
        compare("node", &self.plugin.nodes, &nodes);
        compare("type", &self.plugin.types, &types);
        if problems.is_empty() { Ok(()) } else { Err(ManifestError::Disagrees(problems.join("; "))) }
    }
}

fn capability_problem(capability: Capability, asked: &Asked, wasm: bool) -> Option<String> {
    if asked.reason.trim().is_empty() {
        return Some(format!("`{capability}` is asked for without a reason"));
    }
    if wasm && capability.is_native() {
        return Some(format!(
            "`{capability}` is for built-in nodes; a component can ask for `read-folder`, `write-folder`, `clock` and `http`"
        ));
    }
    match (capability == Capability::Http, asked.hosts.is_empty()) {
        (true, true) => Some("`http` is asked for without `hosts`".into()),
        (false, false) => Some(format!("`{capability}` has no `hosts`")),
        _ => asked
            .hosts
            .iter()
            .find(|host| !is_host(host))
            .map(|host| format!("expected a host such as `example.org` or `localhost:8080`, found `{host}`")),
    }
}

/// Whether it is a name of a host, perhaps with a port. No patterns: what a user allows is what is written there.
fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.split('.').all(label) && port.parse::<u16>().is_ok_and(|n| n > 0)
}

fn native_name(ty: &PortType) -> Option<String> {
    match ty {
        PortType::Native(name) => Some(name.to_string()),
        PortType::List(of) => native_name(of),
        _ => None,
    }
}

fn is_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether a path stays in the folder it starts from.
fn is_inside(file: &str) -> bool {
    !file.is_empty() && !file.contains('\\') && Path::new(file).components().all(|c| matches!(c, Component::Normal(_)))
}

fn is_version(version: &str) -> bool {
    let parts: Vec<_> = version.split('.').collect();
    parts.len() == 3 && parts.iter().all(|p| p.parse::<u32>().is_ok_and(|n| n.to_string() == *p))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        schema = 1
        [plugin]
        id = "my-pack"
        name = "My pack"
        version = "0.1.0"
        license = "MIT"
        description = "Something."
        authors = ["A Person"]
        capabilities = { read-folder = "reads colour tables" }
        nodes = ["Turn Round"]
        types = ["my-pack:angle"]
        [wasm]
        file = "bin/my-pack.wasm"
        blake3 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        wit = "1.0.0"
        [limits]
        seconds = 120
    "#;

    #[test]
    fn good_manifest() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.plugin.id, "my-pack");
        assert_eq!(manifest.plugin.capabilities.keys().collect::<Vec<_>>(), [&Capability::ReadFolder]);
        assert_eq!(manifest.limits.seconds, Some(120));
        assert_eq!(manifest.wasm.as_ref().unwrap().file, "bin/my-pack.wasm");
        let built_in = GOOD.split("[wasm]").next().unwrap();
        assert_eq!(
            Manifest::parse(built_in).unwrap(),
            Manifest { wasm: None, limits: LimitsTable::default(), ..manifest }
        );
    }

    #[test]
    fn manifest_of_this_repository() {
        let manifest = Manifest::parse(include_str!("../../plugin.toml")).unwrap();
        assert_eq!((manifest.plugin.id.as_str(), manifest.wasm), ("dc", None));
    }

    #[test]
    fn bad_manifests() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(GOOD.contains(from), "{from}");
            let error = Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} should contain {expected:?}");
        };
        check("schema = 1", "schema = 2", "`schema`: expected 1, found 2");
        check("schema = 1", "", "missing field `schema`");
        check("\"my-pack\"", "\"My Pack\"", "`id`: expected a word");
        check("\"my-pack\"", "\"\"", "`id`: expected a word");
        check("0.1.0", "0.1", "`version`: expected `MAJOR.MINOR.PATCH`, found `0.1`");
        check("0.1.0", "0.1.x", "`version`");
        check("0.1.0", "0.01.0", "`version`");
        check("my-pack:angle", "core:angle", "`types`: expected names that begin with `my-pack:`");
        check("read-folder", "network", "unknown variant `network`");
        check("read-folder", "read-files", "`capabilities`: `read-files` is for built-in nodes");
        check("read-folder", "http", "`capabilities`: `http` is asked for without `hosts`");
        let asks = |value: &str, expected: &str| check("read-folder = \"reads colour tables\"", value, expected);
        asks("http = { reason = \"asks\", hosts = [\"*.org\"] }", "expected a host such as `example.org`");
        asks("http = { reason = \"asks\", hosts = [\"https://a.org\"] }", "expected a host");
        asks("http = { reason = \"asks\", hosts = [\"a.org:0\"] }", "expected a host");
        asks("clock = { reason = \"asks\", hosts = [\"a.org\"] }", "`clock` has no `hosts`");
        check("seconds = 120", "hours = 2", "unknown field `hours`");
        check("seconds = 120", "seconds = -1", "not a manifest");
        check("license", "licence", "unknown field `licence`");
        check("\"My pack\"", "\" \"", "`name`: is empty");
        check("reads colour tables", "", "`capabilities`: `read-folder` is asked for without a reason");
        check("bin/my-pack.wasm", "../my-pack.wasm", "`file`: expected a file beside the manifest");
        check("bin/my-pack.wasm", "/my-pack.wasm", "`file`");
        check("bin/my-pack.wasm", "..\\\\my-pack.wasm", "`file`");
        check("0123456789abcdef\"", "\"", "`blake3`: expected 64 hexadecimal digits");
        check("0123456789abcdef\"", "0123456789ABCDEF\"", "`blake3`");
        check("1.0.0", "1", "`wit`: expected `MAJOR.MINOR.PATCH`, found `1`");
        check("wit =", "wat =", "unknown field `wat`");
        check("schema = 1", "schema =", "not a manifest");
    }

    #[test]
    fn manifest_against_nodes() {
        let manifest = Manifest::parse(GOOD).unwrap();
        let right = NodeSpec::new("Turn Round", "x", "").output("angle", PortType::native("my-pack:angle").list(), "");
        manifest.check([&right]).unwrap();
        let other = NodeSpec::new("Turn Back", "x", "");
        let error = manifest.check([&other]).unwrap_err().to_string();
        for part in ["node `Turn Round` is named", "node `Turn Back` is there", "type `my-pack:angle` is named"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
