//! `dc-graph model`: what a model file or folder holds, and small random models to try things with.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use dc_graph_nodes::dc_diffusion::DType;
use dc_graph_nodes::dc_diffusion::checkpoint::{Inspection, Random, inspect};
use dc_graph_nodes::dc_diffusion::device::DTypeChoice;

use super::exit::Exit;
use super::streams;

/// Look into models and adapters, or make a small random model
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Inspect(Inspect),
    NewRandom(NewRandom),
}

/// Tell family, parameters, number types, and what is missing; reads no weights
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph model inspect stable-diffusion-v1-5/
  dc-graph model inspect v2-1_512-ema-pruned.safetensors --json
  dc-graph model inspect random:sd15-tiny")]
pub(crate) struct Inspect {
    /// A diffusers folder, a single file, adapters, or `random:NAME`
    path: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Write a model with random weights as a diffusers folder, a tiny one unless asked otherwise
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph model new-random tiny/ --kind sd21-tiny
  dc-graph model new-random sd15/ --kind sd15 --dtype f16")]
struct NewRandom {
    /// The folder to make; must not hold anything yet
    folder: PathBuf,
    /// Which structure
    #[arg(long, default_value = "sd15-tiny", value_parser = |name: &str| Random::from_name(name))]
    kind: Random,
    /// Number type of the weights: f32 (also as auto), f16 or bf16
    #[arg(long, default_value = "f32", value_parser = |text: &str| text.parse::<DTypeChoice>())]
    dtype: DTypeChoice,
}

/// Dispatches.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Inspect(args) => show(&args.path, args.json),
        Command::NewRandom(args) => {
            let folder = std::path::absolute(&args.folder)?;
            let dtype = match args.dtype {
                DTypeChoice::Auto | DTypeChoice::F32 => DType::F32,
                DTypeChoice::F16 => DType::F16,
                DTypeChoice::Bf16 => DType::BF16,
            };
            args.kind.write(&folder, dtype)?;
            streams::data(&format!("{}\n", args.folder.display()))?;
            Ok(Exit::Done)
        }
    }
}

/// Describes a file. Missing tensors make it a failure, so that scripts can ask whether a model is whole.
pub(crate) fn show(path: &str, json: bool) -> anyhow::Result<Exit> {
    // The message tells its cause itself.
    let found = inspect(path).map_err(|error| anyhow!("{error}"))?;
    if json {
        streams::json(&serde_json::to_value(&found)?)?;
    } else {
        streams::data(&text(&found)?)?;
    }
    let whole = found.components.values().all(|c| c.account.missing.is_empty() && c.account.misshapen.is_empty());
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn text(found: &Inspection) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:16}  {value}");
    };
    // The words of the JSON form.
    let word = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    line("kind", word(serde_json::to_value(found.kind)?).replace('_', " "));
    if let Some(family) = found.family {
        line("family", family.as_str().into());
    }
    if let Some(prediction) = found.prediction_type {
        line("predicts", word(serde_json::to_value(prediction)?));
    }
    if let Some(size) = found.native_size {
        line("native size", format!("{size}x{size} pixels"));
    }
    for (name, component) in &found.components {
        let stored: Vec<_> = component.dtypes.iter().map(|(dtype, count)| format!("{count} in {dtype}")).collect();
        let stored = if stored.is_empty() { String::new() } else { format!("; tensors: {}", stored.join(", ")) };
        // `tensors` stands for the contents of files that are no base model.
        let what = if name == "tensors" { "numbers" } else { "parameters" };
        line(name, format!("{} {what}{stored}", grouped(component.account.parameters)));
        let account = &component.account;
        for (what, names) in
            [("missing", &account.missing), ("wrong shape", &account.misshapen), ("unknown", &account.unknown)]
        {
            for name in names {
                line("", format!("{what}: {name}"));
            }
        }
        for (name, reason) in &account.unused {
            line("", format!("not used: {name} ({reason})"));
        }
    }
    for (name, reason) in &found.unused {
        line("not used", format!("{name} ({reason})"));
    }
    for (key, value) in &found.metadata {
        line(key, value.clone());
    }
    for note in &found.notes {
        line("note", note.clone());
    }
    Ok(text)
}

/// 25207040 as `25,207,040`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
