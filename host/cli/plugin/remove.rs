//! `dc-graph plugin remove`: a plugin goes, and with it what it was granted.

use std::fs;

use anyhow::Context;
use dc_graph::plugin::{Grants, Manifest};

use super::places;
use crate::cli::exit::Exit;
use crate::cli::streams;

/// Remove an installed plugin, and what was granted to it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its id, as `dc-graph plugin list` shows it
    id: String,
}

/// Removes.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let places = places()?;
    let folder = places.plugins().join(&args.id);
    // An id has no separators, so that nothing outside can be named.
    if args.id.contains(['/', '\\', '.']) || !folder.join("plugin.toml").is_file() {
        streams::talk(&format!(
            "error: no plugin `{}` is installed\nhint: `dc-graph plugin list` shows those that are",
            args.id
        ));
        return Ok(Exit::Invalid);
    }
    let manifest = fs::read_to_string(folder.join("plugin.toml")).ok().and_then(|text| Manifest::parse(&text).ok());
    if let Some(wasm) = manifest.and_then(|manifest| manifest.wasm) {
        let mut grants = Grants::read(&places.grants())?;
        if grants.revoke(&wasm.blake3) {
            grants.write(&places.grants())?;
        }
    }
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    streams::data(&format!("{}\n", args.id))?;
    Ok(Exit::Done)
}
