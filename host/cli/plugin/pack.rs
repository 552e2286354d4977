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

A core module that holds the description of its interface, as the bindings generators put there, becomes a component. What
only debuggers read is left out of it; the names of functions stay, since errors tell them.")]
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
        Some(b"\0asm\x01\0\0\0") => {
            let module = Sections(&bytes[8..]).collect::<Option<Vec<_>>>().context("its sections are damaged")?;
            if !module.iter().any(|section| section.name.starts_with(b"component-type")) {
                bail!("it cannot be made a component: it holds no description of its interface, which bindings bring");
            }
            // What only debuggers read is many times as large as the rest.
            let kept =
                module.iter().filter(|section| !section.name.starts_with(b".debug")).map(|section| section.bytes);
            let module = [&bytes[..8]].into_iter().chain(kept).collect::<Vec<_>>().concat();
            wit_component::ComponentEncoder::default()
                .validate(true)
                .module(&module)
                .and_then(|mut encoder| encoder.encode())
                .map_err(|error| error.context("it cannot be made a component"))
        }
        Some(b"\0asm\x0d\0\x01\0") => Ok(bytes),
        _ => bail!("expected WebAssembly, found something else"),
    }
}

/// A section of a module.
struct Section<'a> {
    /// The name of a custom section; of others nothing.
    name: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

/// The sections of a module, after its header; nothing in the place of one that is damaged.
struct Sections<'a>(&'a [u8]);

impl<'a> Iterator for Sections<'a> {
    type Item = Option<Section<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (id, rest) = self.0.split_first()?;
        let section = || {
            let (length, rest) = leb128(rest)?;
            let (contents, next) = rest.split_at_checked(length)?;
            let name = match id {
                0 => leb128(contents).and_then(|(length, name)| name.get(..length))?,
                _ => &[],
            };
            Some((Section { name, bytes: &self.0[..self.0.len() - next.len()] }, next))
        };
        let section = section();
        // A damaged one is the last.
        self.0 = section.as_ref().map_or(&[], |(_, next)| next);
        Some(section.map(|(section, _)| section))
    }
}

/// A number as WebAssembly writes it, and what follows.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

/// Writes a file beside its place, then renames it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}
