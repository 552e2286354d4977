//! `dc-graph plugin new`: a plugin that builds and works, to start from.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::cli::exit::Exit;
use crate::cli::streams;

/// Write a complete plugin with one node, a test and the contract, to start from
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plugin new soft-glow --lang rust
  dc-graph plugin new plugins/soft-glow --lang js")]
pub(crate) struct Args {
    /// The folder to make; its name is the plugin's id: a to z, 0 to 9 and `-`
    name: PathBuf,
    /// The language
    #[arg(long, value_enum)]
    lang: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    /// Small and fast
    Rust,
    /// Smallest
    C,
    /// About 2 MB
    Js,
    /// About 18 MB
    Python,
}

/// The contract that templates are written for.
const WIT: &str = include_str!("../../../nodes/api/wit/v0.1/node.wit");
const WIT_VERSION: &str = "0.1.0";
const MANIFEST: &[u8] = include_bytes!("templates/plugin.toml");
const TRY: &[u8] = include_bytes!("templates/try.json");

macro_rules! template {
    ($folder:literal: $($file:literal => $name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("templates/", $folder, "/", $file)))),*]
    };
}

impl Language {
    /// Names and contents of its own files.
    fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Rust => template!("rust":
                "README.md" => "README.md", "Cargo.toml" => "Cargo.toml", "lib.rs" => "src/lib.rs",
                "brighten.rs" => "src/brighten.rs", "gitignore" => ".gitignore",
            ),
            Self::C => template!("c":
                "README.md" => "README.md", "build.sh" => "build.sh", "plugin.c" => "plugin.c",
                "brighten.c" => "brighten.c", "brighten.h" => "brighten.h", "test.c" => "test.c", "gitignore" => ".gitignore",
                // Made once: `wit-bindgen c nodes/api/wit/v0.1 --world plugin`, version 0.57.1.
                "bindings/plugin.c" => "bindings/plugin.c", "bindings/plugin.h" => "bindings/plugin.h",
                "bindings/plugin_component_type.o" => "bindings/plugin_component_type.o",
            ),
            Self::Js => template!("js":
                "README.md" => "README.md", "package.json" => "package.json", "plugin.js" => "plugin.js",
                "brighten.js" => "brighten.js", "brighten.test.js" => "brighten.test.js", "gitignore" => ".gitignore",
            ),
            Self::Python => template!("python":
                "README.md" => "README.md", "app.py" => "app.py", "brighten.py" => "brighten.py",
                "test_brighten.py" => "test_brighten.py", "gitignore" => ".gitignore",
            ),
        }
    }
}

/// Writes the folder.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let id = args.name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !id.ends_with('-')
        && !id.contains("--");
    if !fits {
        streams::talk(&format!(
            "error: expected a name of words of a to z and 0 to 9 joined by `-`, found `{id}`\nhint: such as `soft-glow`"
        ));
        return Ok(Exit::Invalid);
    }
    if args.name.exists() {
        bail!("`{}` is there already", args.name.display());
    }
    let node = title(id);
    // What is not text has no gaps.
    let fill = |contents: &[u8]| match std::str::from_utf8(contents) {
        Err(_) => contents.to_vec(),
        Ok(text) => text
            .replace("{{id}}", id)
            .replace("{{crate}}", &id.replace('-', "_"))
            .replace("{{node}}", &node)
            .replace("{{wit}}", WIT_VERSION)
            .into(),
    };
    let common = [("plugin.toml", MANIFEST), ("try.json", TRY), ("wit/node.wit", WIT.as_bytes())];
    for (name, contents) in args.lang.files().iter().copied().chain(common) {
        let path = args.name.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, fill(contents)));
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
        #[cfg(unix)]
        if name.ends_with(".sh") {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    streams::data(&format!("{}\n", args.name.display()))?;
    streams::talk(&format!("`{}` tells how to build it", args.name.join("README.md").display()));
    Ok(Exit::Done)
}

/// `soft-glow` as `Soft Glow`.
fn title(id: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    id.split('-').map(word).collect::<Vec<_>>().join(" ")
}
