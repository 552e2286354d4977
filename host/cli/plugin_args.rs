//! Which third-party nodes a command knows.

use std::path::{Path, PathBuf};

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
    /// Adds the nodes of all plugins: those of `--plugins`, those in `plugins/` in the graph's folder, those of the user. A
    /// plugin that cannot be used is left out and `say` tells why.
    pub(crate) fn join(
        &self,
        registry: &mut Registry,
        graph_folder: Option<&Path>,
        say: impl Fn(&str),
    ) -> anyhow::Result<()> {
        use dc_graph::plugin::{Places, PluginHost, PluginSettings, find};

        for missing in self.folders.iter().filter(|folder| !folder.is_dir()) {
            anyhow::bail!("`--plugins`: there is no folder `{}`", missing.display());
        }
        let places = Places::from_environment(|name| std::env::var_os(name));
        let mut folders = self.folders.clone();
        folders.extend(graph_folder.map(|folder| folder.join("plugins")));
        folders.extend(places.as_ref().map(Places::plugins));
        let found = find(&folders);
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
}

#[cfg(not(feature = "plugins"))]
impl PluginArgs {
    /// There are none in this build.
    pub(crate) fn join(&self, _: &mut Registry, _: Option<&Path>, _: impl Fn(&str)) -> anyhow::Result<()> {
        anyhow::ensure!(self.folders.is_empty(), "`--plugins`: this program was built without plugins");
        Ok(())
    }
}
