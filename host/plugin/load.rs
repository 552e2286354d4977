//! From a folder to nodes.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph_node_api::{Decoders, Node, NodeSpec, Origin};
use wasmtime::component::Linker;

use super::call::{Call, Callee, Terms};
use super::compiled::Compiled;
use super::engine::{Making, Sandbox};
use super::error::{PluginError, PluginProblem};
use super::grants::{Grant, Grants};
use super::limits::Limits;
use super::manifest::Manifest;
use super::node::{Plugin, PluginNode};
use super::places::Places;
use super::v0_1;
use crate::registry::Registry;

/// The name of a manifest.
pub const MANIFEST: &str = "plugin.toml";
const MAX_MANIFEST: u64 = 1 << 20;
/// Of a component's file. Compiling takes time and memory in proportion.
pub const MAX_COMPONENT: u64 = 64 << 20;

/// What plugins are loaded with.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// What the user granted.
    pub grants: Grants,
    /// The most that a plugin may ask for.
    pub ceiling: Limits,
    /// The folder of compiled plugins and the file of the secret they are sealed with; without, all are compiled anew.
    pub compiled: Option<(PathBuf, PathBuf)>,
    /// For the values that plugins take apart and put together again: those of [`Registry::decoders`].
    pub decoders: Decoders,
    /// Whether calls can be interrupted. Off only to measure what that costs: a plugin that does not end is not stopped.
    pub interruptible: bool,
    /// Whether instances are made in places that are kept for them. Off only to measure what that saves.
    pub pooled: bool,
}

impl Default for PluginSettings {
    /// Nothing granted, the usual ceiling, nothing kept, no values taken apart.
    fn default() -> Self {
        Self {
            grants: Grants::default(),
            ceiling: Limits::CEILING,
            compiled: None,
            decoders: Decoders::default(),
            interruptible: true,
            pooled: true,
        }
    }
}

impl PluginSettings {
    /// Those of a user.
    ///
    /// # Errors
    /// When what the user decided cannot be read, in words.
    pub fn of_user(places: &Places) -> Result<Self, String> {
        let grants = Grants::read(&places.grants()).map_err(|error| error.to_string())?;
        let path = places.ceiling();
        let ceiling = match fs::read_to_string(&path) {
            Ok(text) => match toml::from_str(&text) {
                Ok(table) => Limits::CEILING.with(&table),
                Err(error) => return Err(format!("{}: {error}", path.display())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Limits::CEILING,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        Ok(Self { grants, ceiling, compiled: Some((places.compiled(), places.seal())), ..Self::default() })
    }
}

/// Loads plugins and runs their nodes. Cheap to keep, and kept alive by its nodes.
pub struct PluginHost {
    making: Making,
    sandbox: Sandbox,
    linker: Linker<Call>,
    grants: Grants,
    ceiling: Limits,
    decoders: Decoders,
}

/// A plugin whose nodes can be run.
pub struct LoadedPlugin {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it says about itself.
    pub manifest: Manifest,
    /// What it may reach: what it asks for and was granted.
    pub granted: Grant,
    /// What a call of it may use up.
    pub limits: Limits,
    /// Its nodes, in the order in which it describes them.
    pub nodes: Vec<Arc<dyn Node>>,
}

impl PluginHost {
    /// Sets the sandbox up.
    ///
    /// # Errors
    /// When the system does not let it, in words.
    pub fn new(settings: PluginSettings) -> Result<Self, PluginProblem> {
        let PluginSettings { grants, ceiling, compiled, decoders, interruptible, pooled } = settings;
        // Without a place to keep them, plugins are compiled anew.
        let compiled = compiled.and_then(|(folder, secret)| Compiled::open(&folder, &secret).ok());
        let making = Making { compiled, interruptible, pool: pooled.then_some(ceiling) };
        let sandbox = Sandbox::new(&making, Limits::DEFAULT.stack_kib)?;
        let linker = v0_1::linker(&sandbox.engine)?;
        Ok(Self { making, sandbox, linker, grants, ceiling, decoders })
    }

    /// Loads the plugin in a folder: manifest, component, what it says about its nodes. None of them has run then.
    ///
    /// # Errors
    /// Why the plugin cannot be used.
    pub fn load(&self, folder: &Path) -> Result<LoadedPlugin, PluginError> {
        let mut name = format!("`{}`", folder.display());
        self.try_load(folder, &mut name).map_err(|problem| PluginError { plugin: name, problem })
    }

    /// `name` becomes the plugin's own as soon as that is known.
    fn try_load(&self, folder: &Path, name: &mut String) -> Result<LoadedPlugin, PluginProblem> {
        let path = folder.join(MANIFEST);
        let text = String::from_utf8_lossy(&read(&path, MAX_MANIFEST)?).into_owned();
        let manifest = Manifest::parse(&text)?;
        *name = named(&manifest);
        let Some(wasm) = &manifest.wasm else { return Err(PluginProblem::NoComponent) };
        check_contract(&wasm.wit)?;
        let limits = Limits::asked(&manifest.limits, &self.ceiling)
            .map_err(|(limit, asked, ceiling)| PluginProblem::Ceiling { limit, asked, ceiling })?;
        let path = folder.join(&wasm.file);
        let bytes = read(&path, MAX_COMPONENT)?;
        let digest = blake3::hash(&bytes);
        let found = digest.to_string();
        if found != wasm.blake3 {
            return Err(PluginProblem::Digest { path, expected: wasm.blake3.clone(), found });
        }
        let granted = self.grants.effective(&manifest);
        let decoders = self.decoders.clone();
        let terms = Terms { name: name.clone(), limits, granted: granted.clone(), decoders };
        let origin = Origin {
            plugin: manifest.plugin.id.clone(),
            version: manifest.plugin.version.clone(),
            blake3: found,
            contract: blake3::hash(v0_1::WIT.as_bytes()).to_string(),
        };
        let (plugin, specs) = self.plugin(bytes, &digest, terms, origin)?;
        manifest.check(&specs)?;
        let node = |spec| Arc::new(PluginNode::new(&plugin, spec)) as Arc<dyn Node>;
        let nodes = specs.into_iter().map(node).collect();
        Ok(LoadedPlugin { folder: folder.into(), manifest, granted, limits, nodes })
    }

    /// Looks at a component alone, without a manifest: the specs of its nodes.
    ///
    /// # Errors
    /// Why it is not the component of a plugin.
    pub fn inspect(&self, component: &Path) -> Result<Vec<NodeSpec>, PluginError> {
        let inspect = || {
            let bytes = read(component, MAX_COMPONENT)?;
            let digest = blake3::hash(&bytes);
            let (limits, granted, decoders) = (Limits::DEFAULT, Grant::default(), Decoders::default());
            let terms = Terms { name: "`?`".into(), limits, granted, decoders };
            let [plugin, version, contract] = [const { String::new() }; 3];
            let origin = Origin { plugin, version, blake3: digest.to_string(), contract };
            self.plugin(bytes, &digest, terms, origin).map(|(_, specs)| specs)
        };
        inspect().map_err(|problem| PluginError { plugin: format!("`{}`", component.display()), problem })
    }

    fn plugin(
        &self,
        bytes: Vec<u8>,
        digest: &blake3::Hash,
        terms: Terms,
        origin: Origin,
    ) -> Result<(Arc<Plugin>, Vec<NodeSpec>), PluginProblem> {
        // The depth of the stack is a setting of the whole engine.
        let own;
        let (sandbox, linker) = if terms.limits.stack_kib == Limits::DEFAULT.stack_kib {
            (&self.sandbox, &self.linker)
        } else {
            let sandbox = Sandbox::new(&Making { pool: None, ..self.making.clone() }, terms.limits.stack_kib)?;
            let linker = v0_1::linker(&sandbox.engine)?;
            own = (sandbox, linker);
            (&own.0, &own.1)
        };
        let component = sandbox.component(bytes, digest)?;
        let (instance, exports) = v0_1::exports(linker, &component)?;
        let callee = Callee { sandbox: sandbox.clone(), instance, terms: Arc::new(terms) };
        let specs = exports.describe(&callee)?;
        Ok((Arc::new(Plugin { callee, exports, origin }), specs))
    }

    /// Loads the plugins in these folders, several at a time, and adds their nodes to a registry. A plugin that cannot be
    /// used is left out as a whole. Of two with one id or with one node type, the first is taken.
    pub fn add_all(&self, folders: &[PathBuf], registry: &mut Registry) -> (Vec<LoadedPlugin>, Vec<PluginError>) {
        let loaded: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = folders.iter().map(|folder| scope.spawn(|| self.load(folder))).collect();
            let panicked = |folder: &PathBuf| PluginError {
                plugin: format!("`{}`", folder.display()),
                problem: PluginProblem::Engine("the loader panicked".into()),
            };
            let join = |(thread, folder): (std::thread::ScopedJoinHandle<'_, _>, _)| {
                thread.join().unwrap_or_else(|_| Err(panicked(folder)))
            };
            threads.into_iter().zip(folders).map(join).collect()
        });
        let (mut plugins, mut problems) = (Vec::<LoadedPlugin>::new(), Vec::new());
        for result in loaded {
            match result.and_then(|plugin| add(&plugin, &plugins, registry).map(|()| plugin)) {
                Ok(plugin) => plugins.push(plugin),
                Err(problem) => problems.push(problem),
            }
        }
        (plugins, problems)
    }
}

fn add(plugin: &LoadedPlugin, others: &[LoadedPlugin], registry: &mut Registry) -> Result<(), PluginError> {
    let table = &plugin.manifest.plugin;
    let refuse = |problem| PluginError { plugin: named(&plugin.manifest), problem };
    if let Some(other) = others.iter().find(|other| other.manifest.plugin.id == table.id) {
        return Err(refuse(PluginProblem::SameId { path: other.folder.clone() }));
    }
    for node in &plugin.nodes {
        let name = &node.spec().type_name;
        if let Some(there) = registry.get(name) {
            let owner = there.origin().map_or("the program itself".into(), |o| format!("plugin `{}`", o.plugin));
            return Err(refuse(PluginProblem::Taken { node: name.clone(), owner }));
        }
    }
    for node in &plugin.nodes {
        // Looked up above.
        let _ = registry.add(node.clone());
    }
    Ok(())
}

/// The folders of plugins in these folders: each that has a manifest itself, else those in it that have one, by name. A
/// folder that is not there holds none; one that is named twice counts once.
pub fn find(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for folder in folders {
        let mut inside = Vec::new();
        if folder.join(MANIFEST).is_file() {
            inside.push(folder.clone());
        } else if let Ok(entries) = fs::read_dir(folder) {
            inside.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.join(MANIFEST).is_file()));
            inside.sort();
        }
        found.extend(inside.into_iter().filter(|path| known.insert(fs::canonicalize(path).unwrap_or(path.clone()))));
    }
    found
}

/// How messages name a plugin.
fn named(manifest: &Manifest) -> String {
    format!("`{}` {}", manifest.plugin.id, manifest.plugin.version)
}

/// A plugin may be built against an older version of the same series, which this one only adds to.
fn check_contract(found: &str) -> Result<(), PluginProblem> {
    let parts = |version: &str| -> Option<[u32; 3]> {
        let parts: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    match (parts(found), parts(v0_1::VERSION)) {
        (Some([0, 1, patch]), Some([0, 1, known])) if patch <= known => Ok(()),
        _ => Err(PluginProblem::Contract { found: found.into(), known: v0_1::VERSION }),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PluginProblem> {
    let failed = |source| PluginProblem::File { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file")));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(PluginProblem::Size { path: path.into(), found: metadata.len().max(limit + 1), limit });
    }
    Ok(bytes)
}
