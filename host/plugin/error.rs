//! Why a plugin cannot be used. Its nodes are missing then; everything else goes on.

use std::io;
use std::path::PathBuf;

use super::fault::plain;
use super::manifest::ManifestError;

/// A plugin that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {}", plain(plugin, 500), plain(&problem.to_string(), 4000))]
pub struct PluginError {
    /// Its id and version when they are known, else its folder: `` `film-grain` 0.1.0 ``.
    pub plugin: String,
    /// Why.
    pub problem: PluginProblem,
}

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginProblem {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large.
    #[error("{} has {found} bytes, at most {limit} are allowed", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The manifest is not accepted.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The manifest names no component.
    #[error("its manifest has no `[wasm]` table")]
    NoComponent,
    /// The component is another one than the manifest says.
    #[error("{} has the blake3 {found}, the manifest says {expected}", path.display())]
    Digest {
        /// The component's file.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It was made for a contract that this program does not know.
    #[error("it was made for version {found} of `dc-graph:node`, this program knows {known}")]
    Contract {
        /// The version it was made for.
        found: String,
        /// The version this program knows.
        known: &'static str,
    },
    /// The file holds no component.
    #[error("{0}")]
    NotAComponent(String),
    /// The component asks for something that no plugin gets.
    #[error("it imports `{0}`, which plugins are not offered")]
    Import(String),
    /// The component cannot be compiled or does not keep to the contract.
    #[error("{0}")]
    Invalid(String),
    /// The manifest asks for more than a plugin may.
    #[error("it asks for `{limit}` = {asked}, at most {ceiling} is allowed")]
    Ceiling {
        /// The limit.
        limit: &'static str,
        /// What it asks for.
        asked: u32,
        /// The most it may.
        ceiling: u32,
    },
    /// Its nodes cannot be described.
    #[error("it cannot describe its nodes: {0}")]
    Describe(String),
    /// What it says about a node cannot be.
    #[error("{0}")]
    Spec(String),
    /// Another plugin, or the program, has a node of this type.
    #[error("its node `{node}` is there already: {owner} brings it")]
    Taken {
        /// The node type.
        node: String,
        /// Who has it.
        owner: String,
    },
    /// Another plugin has its id.
    #[error("there is another plugin of this id: {}", path.display())]
    SameId {
        /// The other's folder.
        path: PathBuf,
    },
    /// The sandbox cannot be set up.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
}

impl PluginError {
    /// What to do about it, if something is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match &self.problem {
            PluginProblem::File { path, source }
                if source.kind() == io::ErrorKind::NotFound && path.extension().is_some_and(|end| end == "wasm") =>
            {
                "its component is missing: build it, or install the plugin again"
            }
            PluginProblem::Digest { .. } => {
                "the file was changed or damaged after the manifest was written: install it again"
            }
            PluginProblem::Contract { .. } => "take a version of the plugin, or of dc-graph, that fits",
            PluginProblem::NotAComponent(_) => "build a component: see `dc-graph plugin new`",
            PluginProblem::Import(_) => {
                "build it without WASI; files, time and HTTP are asked for in the manifest and used through `dc-graph:node`"
            }
            PluginProblem::Ceiling { .. } => {
                "the ceiling is set in `plugin-limits.toml` in the program's configuration folder"
            }
            PluginProblem::Taken { .. } | PluginProblem::SameId { .. } => "remove one of the two",
            PluginProblem::NoComponent => "a plugin names its `.wasm` file, its `blake3` and its `wit` version there",
            _ => return None,
        })
    }
}
