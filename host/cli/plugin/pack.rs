//! `dc-graph plugin pack`: the last step of building a plugin.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dc_graph::plugin::Manifest;

use crate::cli::exit::Exit;
use crate::cli::streams;

/// Take what a compiler made as the component of a plugin, and write its digest into plugin.toml
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plugin pack --from target/wasm32-wasip2/release/soft_glow.wasm
  dc-graph plugin pack soft-glow

A core module that holds the description of its interface, as the bindings generators put there, becomes a component.")]
pub(crate) struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The file that the compiler wrote [default: the one that plugin.toml names]
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Writes the component and its digest.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let path = args.folder.join("plugin.toml");
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
    let text = String::from_utf8(read(&path)?).with_context(|| format!("`{}` is not text", path.display()))?;
    let manifest = Manifest::parse(&text).with_context(|| format!("`{}`", path.display()))?;
    let Some(wasm) = manifest.wasm else { bail!("`{}` has no `[wasm]` table", path.display()) };
    let target = args.folder.join(&wasm.file);
    let source = args.from.clone().unwrap_or_else(|| target.clone());
    let component = component(read(&source)?).with_context(|| format!("`{}`", source.display()))?;
    let digest = blake3::hash(&component).to_hex();
    replace(&target, &component)?;
    replace(&path, text.replace(&wasm.blake3, &digest).as_bytes())?;
    streams::data(&format!("{}\n", target.display()))?;
    streams::talk(&format!("{} bytes, blake3 {digest}", component.len()));
    Ok(Exit::Done)
}

/// A component as it is; a core module as a component.
fn component(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    match bytes.get(..8) {
        Some(b"\0asm\x01\0\0\0") => wit_component::ComponentEncoder::default()
            .validate(true)
            .module(&bytes)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| error.context("it cannot be made a component")),
        Some(b"\0asm\x0d\0\x01\0") => Ok(bytes),
        _ => bail!("expected WebAssembly, found something else"),
    }
}

/// Writes a file beside its place, then renames it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}
