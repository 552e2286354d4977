//! `dc-graph replay`: runs again what made a picture.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use dc_graph::api::Image;
use dc_graph::exec::{CancelToken, Digests, Event, Plan, plan};
use dc_graph::graph::{Document, Graph, Overrides, Settings, Source, render, validate};
use dc_graph::proof::{Maker, without_the_rest};
use dc_graph::registry::Registry;
use serde_json::json;

use super::device_args::DeviceArgs;
use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::progress::{Mode, Progress};
use super::run::{Failure, Means, carry_out};
use super::source::{assignment, carried};
use super::validate::Format;
use super::{builtin, signals, streams};

/// Run again what made a picture
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph replay output/personalize-00.png
  dc-graph replay output/personalize-00.png --verify
  dc-graph replay picture.png --folder graphs --set model=sd15/ --output again

Only the nodes that the picture needs run. The files that they read are looked for beside the picture, around it, in the
current folder and in the folders in it, and are told apart by their contents. Exit codes: 0 done or identical, 1 the
pixels differ or the run failed, 2 the picture does not say what made it, or that cannot run here.")]
pub(crate) struct Args {
    /// A PNG that `Save Image` wrote
    picture: PathBuf,
    /// Tell whether the pixels come out the same, and if not, what is different; keeps no file unless `--output` is given
    #[arg(long)]
    verify: bool,
    /// The folder that relative paths in the graph count from
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Give a named input of the graph another value; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plugins: PluginArgs,
    /// The folder that files are written to [default: replayed]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How the run is shown on standard error [default: bar on a terminal, else plain]
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What is to run, and where its relative paths count from.
struct Found {
    graph: Graph,
    plan: Plan,
    folder: PathBuf,
}

/// Replays.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let maker = match maker(&args.picture) {
        Ok(maker) => maker,
        Err(error) => return Ok(super::validate::unreadable(&error)),
    };
    let progress = std::sync::Arc::new(Progress::new(Mode::choose(args.progress)));
    let mut registry = builtin::registry(&args.device.settings())?;
    let beside = args.folder.as_deref().unwrap_or(Path::new(""));
    let warn = |text: &str| progress.say("warning", text);
    let used = Document::parse(&maker.graph.to_string()).map(|document| document.node_types(beside));
    args.plugins.settle(&used.unwrap_or_default(), beside, progress.is_for_people(), warn)?;
    args.plugins.join(&mut registry, beside, warn)?;
    let digests = Digests::default();
    let found = match find(args, &maker, &registry, &digests)? {
        Ok(found) => found,
        Err(told) => {
            let hint = "hint: `--folder` says where its files and plugins are, `--set` gives other files";
            progress.say("error", &format!("{told}{hint}"));
            return Ok(Exit::Invalid);
        }
    };
    let differences = maker.differences(&found.graph, &found.plan);
    let cancel = CancelToken::default();
    let told = progress.clone();
    signals::listen(cancel.clone(), move || told.say("interrupted", "stopping; a second Ctrl-C stops at once"))?;
    let away = tempfile::tempdir().context("cannot make a temporary folder")?;
    let output = match &args.output {
        Some(output) => output.clone(),
        None if args.verify => away.path().into(),
        None => "replayed".into(),
    };
    let mut written = Vec::new();
    let means = Means {
        folder: &found.folder,
        digests: &digests,
        cache: None,
        // Everything is computed anew: that is what is to be proved.
        store: None,
        document: None,
        threads: None,
        cancel: &cancel,
        locked: None,
    };
    let tell = |event: &Event| {
        // Files that are thrown away are no news.
        if !matches!(event, Event::Wrote { .. }) || args.output.is_some() || !args.verify {
            progress.event(event);
        }
    };
    let result = carry_out(&found.graph, &means, &output, &tell, &mut written);
    progress.finish();
    match result {
        Ok(_) => {}
        Err(Failure::Interrupted) => {
            progress.say("error", "error: interrupted");
            return Ok(Exit::Interrupted);
        }
        Err(failure) => {
            progress.say("error", &format!("error: {failure}"));
            differences.iter().for_each(|line| progress.say("note", &format!("note: {line}")));
            return Ok(Exit::Failed);
        }
    }
    conclude(args, &differences, &written)
}

/// What a picture says of itself.
fn maker(picture: &Path) -> anyhow::Result<Maker> {
    let made_by = carried(picture)?;
    serde_json::from_value(made_by).with_context(|| format!("what `{}` says of itself", picture.display()))
}

/// The graph in the folder in which it reads what it read then, else in the first in which it is valid; else what is
/// wrong with it.
fn find(args: &Args, maker: &Maker, registry: &Registry, digests: &Digests) -> anyhow::Result<Result<Found, String>> {
    let current = std::env::current_dir().context("cannot find the current folder")?;
    let mut overrides = Overrides::default();
    args.set.iter().for_each(|(name, value)| overrides.set(name, value));
    let text = format!("{:#}\n", without_the_rest(&maker.graph, &maker.node));
    let source = Source::new(format!("<graph of {}>", args.picture.display()), text);
    let document = Document::parse(source.text());
    let mut first = None;
    let mut wrong = None;
    for folder in folders(args, &current) {
        let settings = Settings { overrides: overrides.clone(), folder: folder.clone(), current: current.clone() };
        let checked = match &document {
            Ok(document) => validate(document, registry, &settings),
            Err(problems) => Err(problems.clone()),
        };
        match checked {
            Ok((mut graph, _)) => {
                if !maker.is_made_by(&graph) {
                    bail!("the graph in `{}` has no node `{}`", args.picture.display(), maker.node);
                }
                let plan = plan(&graph, digests)?;
                let same = maker.reads_the_same(&graph, &plan);
                // The new picture says of itself what the old one said; what was set otherwise it should say, too.
                if args.set.is_empty() {
                    graph.document = maker.graph.clone();
                }
                let found = Found { graph, plan, folder };
                if same {
                    return Ok(Ok(found));
                }
                first.get_or_insert(found);
            }
            Err(problems) => {
                let colour = streams::colour(&std::io::stderr());
                wrong.get_or_insert_with(|| render(&problems, &source, colour));
            }
        }
    }
    Ok(first.ok_or_else(|| wrong.unwrap_or_default()))
}

/// Where the graph may have lain: the folder that was named; else around the picture and around here.
fn folders(args: &Args, current: &Path) -> Vec<PathBuf> {
    /// Most folders looked into below one.
    const MOST: usize = 200;
    if let Some(folder) = &args.folder {
        return vec![current.join(folder)];
    }
    let beside = current.join(&args.picture).parent().map(Path::to_path_buf).unwrap_or_default();
    let above = beside.parent().map(Path::to_path_buf);
    let mut all: Vec<PathBuf> = vec![beside];
    for folder in above.into_iter().chain([current.to_path_buf()]) {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).take(MOST).collect();
        inside.sort();
        all.push(folder);
        all.extend(inside);
    }
    let mut seen = HashSet::new();
    all.retain(|folder| seen.insert(folder.clone()));
    all
}

fn conclude(args: &Args, differences: &[String], written: &[PathBuf]) -> anyhow::Result<Exit> {
    if !args.verify {
        match args.format {
            Format::Json => streams::json(&json!({ "status": "done", "files": written, "differences": differences }))?,
            Format::Text => {
                differences.iter().for_each(|line| streams::talk(&format!("note: {line}")));
                streams::data(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
            }
        }
        return Ok(Exit::Done);
    }
    let then = read(&args.picture)?;
    // The file of the same name; a picture that was renamed since is compared with all.
    let named = |path: &&PathBuf| path.file_name() == args.picture.file_name();
    let candidates: Vec<&PathBuf> = match written.iter().find(named) {
        Some(path) => vec![path],
        None => written.iter().collect(),
    };
    let mut nearest: Option<Distance> = None;
    for path in candidates {
        let distance = distance(&then, &read(path)?);
        if nearest.as_ref().is_none_or(|nearest| distance.pixels < nearest.pixels) {
            nearest = Some(distance);
        }
    }
    let nearest = nearest.ok_or_else(|| anyhow!("the run wrote no picture"))?;
    let identical = nearest.pixels == 0;
    let name = args.picture.display();
    match args.format {
        Format::Json => streams::json(&json!({
            "identical": identical,
            "differing_pixels": nearest.pixels,
            "largest_difference": nearest.largest,
            "differences": differences,
        }))?,
        Format::Text if identical => streams::data(&format!("identical: {name}\n"))?,
        Format::Text => {
            let mut text = format!("different: {name}: {}\n", nearest.told);
            differences.iter().for_each(|line| text += &format!("  {line}\n"));
            if differences.is_empty() {
                text += "  program, node types, device and files are those that made it: the picture was changed since, or \
                         a node is not deterministic\n";
            }
            streams::data(&text)?;
        }
    }
    Ok(if identical { Exit::Done } else { Exit::Failed })
}

fn read(path: &Path) -> anyhow::Result<Image> {
    dc_graph_nodes::read_picture(path).map_err(|error| anyhow!("{error}"))
}

/// How far two pictures are apart.
struct Distance {
    pixels: u64,
    /// Of a sample, of 255.
    largest: u8,
    told: String,
}

fn distance(a: &Image, b: &Image) -> Distance {
    let shape = |image: &Image| (image.width(), image.height(), image.channels());
    if shape(a) != shape(b) {
        let told = format!("{}x{} pixels became {}x{}", a.width(), a.height(), b.width(), b.height());
        return Distance { pixels: u64::MAX, largest: 255, told };
    }
    let (mut pixels, mut largest) = (0, 0);
    let channels = usize::from(a.channels());
    for (a, b) in a.to_u8().chunks_exact(channels).zip(b.to_u8().chunks_exact(channels)) {
        let most = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        pixels += u64::from(most > 0);
        largest = largest.max(most);
    }
    let all = u64::from(a.width()) * u64::from(a.height());
    let told = format!("{pixels} of {all} pixels differ, by at most {largest} of 255");
    Distance { pixels, largest, told }
}
