//! `dc-graph plugin grant`: what a plugin may reach, asked of the user and remembered for exactly this build of it.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use dc_graph::plugin::{Capability, Grant, Grants, Manifest, Places};
use serde_json::json;

use super::{Searched, places};
use crate::cli::exit::Exit;
use crate::cli::streams;
use crate::cli::validate::Format;

/// Allow a plugin what it asks for: a folder to read, a folder to write, the clock, hosts. Remembered for this build of it
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plugin grant soft-glow                          # asks, on a terminal
  dc-graph plugin grant soft-glow --read-folder ~/tables
  dc-graph plugin grant weather --http api.example.org --clock
  dc-graph plugin grant soft-glow --revoke")]
pub(crate) struct Args {
    /// Its id or its folder
    plugin: String,
    /// The folder that it may read
    #[arg(long, value_name = "DIR")]
    read_folder: Option<PathBuf>,
    /// The folder that it may write to
    #[arg(long, value_name = "DIR")]
    write_folder: Option<PathBuf>,
    /// Let it look at the clock
    #[arg(long)]
    clock: bool,
    /// A host that it may send requests to; may be repeated
    #[arg(long, value_name = "HOST")]
    http: Vec<String>,
    /// Take back what was granted
    #[arg(long, conflicts_with_all = ["read_folder", "write_folder", "clock", "http"])]
    revoke: bool,
    #[command(flatten)]
    searched: Searched,
    /// How what it may reach now is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Grants what the options say, or asks.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let places = places()?;
    let folder = args.searched.one(&places, &args.plugin)?;
    let manifest = read(&folder)?;
    let Some(wasm) = &manifest.wasm else { bail!("`{}` has no component", args.plugin) };
    let given = args.read_folder.is_some() || args.write_folder.is_some() || args.clock || !args.http.is_empty();
    let mut grants = Grants::read(&places.grants())?;
    if args.revoke {
        grants.revoke(&wasm.blake3);
        grants.write(&places.grants())?;
    } else if given {
        if let Some(problem) = unasked(args, &manifest) {
            streams::talk(&format!(
                "error: {problem}\nhint: `dc-graph plugin info {}` tells what it asks for",
                args.plugin
            ));
            return Ok(Exit::Invalid);
        }
        let before = grants.of(&wasm.blake3).cloned().unwrap_or_default();
        let mut http = before.http;
        http.extend(args.http.iter().cloned());
        let grant = Grant {
            plugin: manifest.plugin.id.clone(),
            read_folder: existing(args.read_folder.as_ref())?.or(before.read_folder),
            write_folder: existing(args.write_folder.as_ref())?.or(before.write_folder),
            clock: args.clock || before.clock,
            http,
        };
        grants.set(&wasm.blake3, grant);
        grants.write(&places.grants())?;
    } else if manifest.plugin.capabilities.is_empty() {
        streams::talk(&format!("`{}` asks for nothing", manifest.plugin.id));
    } else if !is_terminal() {
        streams::talk(&format!(
            "error: nobody can be asked: this is no terminal\nhint: {}",
            command(&manifest).unwrap_or_default()
        ));
        return Ok(Exit::Invalid);
    } else {
        ask(&manifest, &places, &mut io::stdin().lock())?;
    }
    let now = Grants::read(&places.grants())?.effective(&manifest);
    match args.format {
        Format::Json => streams::json(&json!({ "id": manifest.plugin.id, "granted": serde_json::to_value(&now)? }))?,
        Format::Text => streams::data(&format!("{}: {}\n", manifest.plugin.id, text(&now)))?,
    }
    Ok(Exit::Done)
}

/// After installing: asks on a terminal, else says how to grant.
pub(super) fn offer(manifest: &Manifest, places: &Places) -> anyhow::Result<()> {
    if manifest.plugin.capabilities.is_empty() {
        return Ok(());
    }
    if is_terminal() {
        return ask(manifest, places, &mut io::stdin().lock());
    }
    streams::talk(&unsettled(manifest));
    Ok(())
}

/// Before a run that uses these nodes, for each plugin that brings one, asks for something, and about which nothing was
/// decided yet: asks, if anybody can be asked and `may_ask`, else says how to decide.
pub(crate) fn settle(
    folders: &[PathBuf],
    nodes: &BTreeSet<String>,
    places: &Places,
    may_ask: bool,
    say: impl Fn(&str),
) -> anyhow::Result<()> {
    for folder in folders {
        // What is wrong with a manifest is told when the plugin is loaded.
        let Ok(manifest) = read(folder) else { continue };
        let Some(wasm) = &manifest.wasm else { continue };
        if manifest.plugin.capabilities.is_empty() || manifest.plugin.nodes.is_disjoint(nodes) {
            continue;
        }
        if Grants::read(&places.grants())?.of(&wasm.blake3).is_some() {
            continue;
        }
        if may_ask && is_terminal() {
            ask(&manifest, places, &mut io::stdin().lock())?;
        } else {
            say(&format!("warning: {}", unsettled(&manifest)));
        }
    }
    Ok(())
}

/// What a plugin asks for, where nobody can be asked.
fn unsettled(manifest: &Manifest) -> String {
    let command = command(manifest).unwrap_or_default();
    format!("plugin `{}` asks for more than its inputs; to allow it: {command}", manifest.plugin.id)
}

fn read(folder: &std::path::Path) -> anyhow::Result<Manifest> {
    let path = folder.join("plugin.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Manifest::parse(&text).with_context(|| format!("`{}`", path.display()))
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What is granted without having been asked for would have no effect.
fn unasked(args: &Args, manifest: &Manifest) -> Option<String> {
    let asked = &manifest.plugin.capabilities;
    let given = [
        (Capability::ReadFolder, args.read_folder.is_some()),
        (Capability::WriteFolder, args.write_folder.is_some()),
        (Capability::Clock, args.clock),
        (Capability::Http, !args.http.is_empty()),
    ];
    if let Some((capability, _)) = given.iter().find(|(capability, given)| *given && !asked.contains_key(capability)) {
        return Some(format!("`{}` does not ask for `{capability}`", manifest.plugin.id));
    }
    let hosts: BTreeSet<_> = asked.get(&Capability::Http).map(|asked| asked.hosts.iter().collect()).unwrap_or_default();
    let other = args.http.iter().find(|host| !hosts.contains(host))?;
    Some(format!("`{}` does not ask for the host `{other}`", manifest.plugin.id))
}

/// A folder that is there, without links: a link that is changed later must not change what was granted.
fn existing(folder: Option<&PathBuf>) -> anyhow::Result<Option<PathBuf>> {
    let Some(folder) = folder else { return Ok(None) };
    let found = folder.canonicalize().with_context(|| format!("cannot find the folder `{}`", folder.display()))?;
    if !found.is_dir() {
        bail!("`{}` is no folder", folder.display());
    }
    Ok(Some(found))
}

/// The command that grants everything that a plugin asks for.
fn command(manifest: &Manifest) -> Option<String> {
    let mut command = format!("dc-graph plugin grant {}", manifest.plugin.id);
    for (capability, asked) in &manifest.plugin.capabilities {
        match capability {
            Capability::ReadFolder => command += " --read-folder DIR",
            Capability::WriteFolder => command += " --write-folder DIR",
            Capability::Clock => command += " --clock",
            Capability::Http => command.extend(asked.hosts.iter().map(|host| format!(" --http {host}"))),
            _ => return None,
        }
    }
    Some(command)
}

/// Asks for each capability and remembers the answers, also a no. No answer is no.
fn ask(manifest: &Manifest, places: &Places, answers: &mut dyn BufRead) -> anyhow::Result<()> {
    let Some(wasm) = &manifest.wasm else { return Ok(()) };
    let id = &manifest.plugin.id;
    let mut answer = |question: String| -> anyhow::Result<String> {
        eprint!("{question} ");
        io::stderr().flush()?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    };
    streams::talk(&format!(
        "plugin `{id}` {} asks for more than its inputs. What you answer is remembered for exactly this build of it; \
         `dc-graph plugin grant {id}` asks again.",
        manifest.plugin.version
    ));
    let mut grant = Grant { plugin: id.clone(), ..Grant::default() };
    for (capability, asked) in &manifest.plugin.capabilities {
        let reason = &asked.reason;
        match capability {
            Capability::ReadFolder | Capability::WriteFolder => {
                let what = if *capability == Capability::ReadFolder { "read" } else { "write to" };
                let mut question = format!("`{id}` wants to {what} a folder ({reason}). Which one? Empty for none:");
                let folder = loop {
                    let folder = answer(question)?;
                    match if folder.is_empty() { Ok(None) } else { existing(Some(&in_home(&folder))) } {
                        Ok(folder) => break folder,
                        Err(error) => question = format!("{error:#}. Which one? Empty for none:"),
                    }
                };
                match capability {
                    Capability::ReadFolder => grant.read_folder = folder,
                    _ => grant.write_folder = folder,
                }
            }
            Capability::Clock => {
                grant.clock = is_yes(&answer(format!("`{id}` wants to look at the clock ({reason}). Allow? y/N"))?);
            }
            Capability::Http => {
                for host in &asked.hosts {
                    if is_yes(&answer(format!("`{id}` wants to send requests to {host} ({reason}). Allow? y/N"))?) {
                        grant.http.insert(host.clone());
                    }
                }
            }
            _ => {}
        }
    }
    let mut grants = Grants::read(&places.grants())?;
    grants.set(&wasm.blake3, grant);
    Ok(grants.write(&places.grants())?)
}

/// A path as people type it: no shell has replaced `~` here.
fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.to_lowercase().as_str(), "y" | "yes")
}

/// What a plugin may reach, in words.
fn text(grant: &Grant) -> String {
    let mut parts = Vec::new();
    parts.extend(grant.read_folder.iter().map(|folder| format!("reads {}", folder.display())));
    parts.extend(grant.write_folder.iter().map(|folder| format!("writes to {}", folder.display())));
    parts.extend(grant.clock.then(|| "looks at the clock".to_owned()));
    parts.extend(grant.http.iter().map(|host| format!("asks {host}")));
    if parts.is_empty() { "may reach nothing beyond its inputs".into() } else { parts.join(", ") }
}
