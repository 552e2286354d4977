//! Which third-party nodes a command knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[cfg(feature = "plugins")]
use dc_graph::plugin::Places;
use dc_graph::registry::Registry;

/// Where plugins are.
#[derive(clap::Args)]
pub(crate) struct PluginArgs {
    /// A plugin's folder, or a folder of such; may be repeated. Comes before `plugins/` beside the graph and the user's
    #[arg(long = "plugins", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

#[cfg(feature = "plugins")]
impl PluginArgs {
    /// Adds the nodes of all plugins: those of `--plugins`, those in `plugins/` in a folder (the graph's, else the current
    /// one), those of the user. A plugin that cannot be used is left out and `say` tells why.
    pub(crate) fn join(&self, registry: &mut Registry, beside: &Path, say: impl Fn(&str)) -> anyhow::Result<()> {
        use dc_graph::plugin::{PluginHost, PluginSettings};

        let places = places();
        let found = self.find(beside, places.as_ref())?;
        if found.is_empty() {
            return Ok(());
        }
        let settings = match &places {
            Some(places) => PluginSettings::of_user(places).map_err(anyhow::Error::msg)?,
            None => PluginSettings::default(),
        };
        let decoders = registry.decoders().clone();
        let (_, problems) = PluginHost::new(PluginSettings { decoders, ..settings })?.add_all(&found, registry);
        for problem in problems {
            let hint = problem.hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
            say(&format!("warning: {problem}{hint}"));
        }
        Ok(())
    }

    /// Before a run: what may the plugins reach whose nodes it uses? Asks the user, on a terminal, as far as nothing was
    /// decided; elsewhere `say` tells how to decide.
    pub(crate) fn settle(
        &self,
        nodes: &BTreeSet<String>,
        beside: &Path,
        ask: bool,
        say: impl Fn(&str),
    ) -> anyhow::Result<()> {
        let Some(places) = places() else { return Ok(()) };
        super::plugin::settle(&self.find(beside, Some(&places))?, nodes, &places, ask, say)
    }

    fn find(&self, beside: &Path, places: Option<&Places>) -> anyhow::Result<Vec<PathBuf>> {
        if let Some(missing) = self.folders.iter().find(|folder| !folder.is_dir()) {
            anyhow::bail!("`--plugins`: there is no folder `{}`", missing.display());
        }
        Ok(dc_graph::plugin::find(&self.folders(beside, places)))
    }

    /// The folders in which plugins are looked for.
    fn folders(&self, beside: &Path, places: Option<&Places>) -> Vec<PathBuf> {
        let mut folders = self.folders.clone();
        folders.push(beside.join("plugins"));
        folders.extend(places.map(Places::plugins));
        folders
    }

    /// The files that decide which plugins there are and what they may do, and the folders in which a new one would be
    /// found.
    pub(crate) fn sources(&self, beside: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        use dc_graph::plugin::{MANIFEST, Manifest, find};

        let places = places();
        let here = |folder: &PathBuf| std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        let folders: Vec<PathBuf> = self.folders(beside, places.as_ref()).iter().map(here).collect();
        let mut files = Vec::new();
        for plugin in find(&folders) {
            let manifest = plugin.join(MANIFEST);
            let text = std::fs::read_to_string(&manifest).unwrap_or_default();
            let component = Manifest::parse(&text).ok().and_then(|manifest| Some(manifest.wasm?.file));
            files.extend(component.map(|file| plugin.join(file)));
            files.push(manifest);
        }
        files.extend(places.iter().flat_map(|places| [places.grants(), places.ceiling()]));
        // A plugin's folder may be there before its manifest is.
        let inside = |folder: &PathBuf| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        };
        let is_plugin = |folder: &&PathBuf| folder.join(MANIFEST).is_file();
        let listings = folders.iter().filter(|folder| !is_plugin(folder));
        let listings = listings.flat_map(|folder| [vec![folder.clone()], inside(folder)].concat()).collect();
        (files, listings)
    }
}

#[cfg(feature = "plugins")]
fn places() -> Option<Places> {
    Places::from_environment(|name| std::env::var_os(name))
}

#[cfg(not(feature = "plugins"))]
impl PluginArgs {
    /// There are none in this build.
    pub(crate) fn join(&self, _: &mut Registry, _: &Path, _: impl Fn(&str)) -> anyhow::Result<()> {
        anyhow::ensure!(self.folders.is_empty(), "`--plugins`: this program was built without plugins");
        Ok(())
    }

    /// None either.
    pub(crate) fn sources(&self, _: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        Default::default()
    }

    /// There are none in this build.
    pub(crate) fn settle(&self, _: &BTreeSet<String>, _: &Path, _: bool, _: impl Fn(&str)) -> anyhow::Result<()> {
        Ok(())
    }
}
