//! `dc-graph plugin`: third-party nodes. One command a file.

mod check;
mod grant;
mod info;
mod install;
mod list;
mod new;
mod pack;
mod remove;

use std::path::PathBuf;

use anyhow::{Context, bail};
use dc_graph::plugin::{LoadedPlugin, Places, PluginError, PluginHost, PluginSettings, find};

pub(crate) use grant::settle;

use super::exit::Exit;

/// List, install, grant, write plugins
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Args),
    Info(info::Args),
    Check(check::Args),
    Install(install::Args),
    Remove(remove::Args),
    Grant(grant::Args),
    New(new::Args),
    Pack(pack::Args),
}

/// Dispatches.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Info(args) => info::run(args),
        Command::Check(args) => check::run(args),
        Command::Install(args) => install::run(args),
        Command::Remove(args) => remove::run(args),
        Command::Grant(args) => grant::run(args),
        Command::New(args) => new::run(args),
        Command::Pack(args) => pack::run(args),
    }
}

/// The user's folders.
fn places() -> anyhow::Result<Places> {
    Places::from_environment(|name| std::env::var_os(name))
        .context("neither `HOME` nor the `XDG_` variables tell where plugins are kept")
}

/// A sandbox with what the user decided.
fn host(places: &Places) -> anyhow::Result<PluginHost> {
    let settings = PluginSettings::of_user(places).map_err(anyhow::Error::msg)?;
    Ok(PluginHost::new(settings)?)
}

/// Where a command looks for plugins beside the user's own.
#[derive(clap::Args)]
struct Searched {
    /// A folder with plugins, or a plugin's folder; may be repeated
    #[arg(long = "plugins", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

impl Searched {
    /// All plugins: those of the command line first, then `plugins/` here, then the installed ones.
    fn find(&self, places: &Places) -> Vec<PathBuf> {
        let mut folders = self.folders.clone();
        folders.extend(["plugins".into(), places.plugins()]);
        find(&folders)
    }

    /// The plugin of an id or in a folder; loads no others.
    fn one(&self, places: &Places, name: &str) -> anyhow::Result<PathBuf> {
        let path = PathBuf::from(name);
        if path.join("plugin.toml").is_file() {
            return Ok(path);
        }
        let id = |folder: &PathBuf| {
            let text = std::fs::read_to_string(folder.join("plugin.toml")).ok()?;
            dc_graph::plugin::Manifest::parse(&text).ok().map(|manifest| manifest.plugin.id)
        };
        match self.find(places).into_iter().find(|folder| id(folder).as_deref() == Some(name)) {
            Some(folder) => Ok(folder),
            None => bail!("there is no plugin `{name}`; `dc-graph plugin list` shows those that are"),
        }
    }
}

/// What is wrong with a plugin, in words.
fn told(error: &PluginError) -> String {
    let hint = error.hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
    format!("error: {error}{hint}")
}

/// A plugin as data.
fn to_json(plugin: &LoadedPlugin) -> anyhow::Result<serde_json::Value> {
    let table = &plugin.manifest.plugin;
    Ok(serde_json::json!({
        "id": table.id,
        "name": table.name,
        "version": table.version,
        "license": table.license,
        "description": table.description,
        "authors": table.authors,
        "folder": plugin.folder.display().to_string(),
        "blake3": plugin.manifest.wasm.as_ref().map(|wasm| &wasm.blake3),
        "capabilities": serde_json::to_value(&table.capabilities)?,
        "granted": serde_json::to_value(&plugin.granted)?,
        "limits": plugin.limits.named().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "nodes": plugin.nodes.iter().map(|node| node.spec().type_name.clone()).collect::<Vec<_>>(),
    }))
}
