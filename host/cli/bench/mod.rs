//! `dc-graph bench`: how long the parts of a model take on this machine, beside other implementations.

mod machine;
mod peer;
mod process;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use dc_graph_nodes::dc_diffusion::checkpoint::{self, load_adapters};
use dc_graph_nodes::dc_diffusion::device::{self, DTypeChoice, DeviceChoice};
use dc_graph_nodes::dc_diffusion::measure::{Bench, Part};
use dc_graph_nodes::dc_diffusion::model::BaseModel;
use serde::Serialize;

use super::exit::Exit;
use super::streams;
use machine::Machine;
use peer::Peer;

/// Measure the parts of a model: evaluations, autoencoder, text encoder, cache, a whole personalised image
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph bench
  dc-graph bench --model random:sd15 --only \"UNet\" --rounds 5
  dc-graph bench --model random:sd15 --peer \"venv/bin/python tests/bench/diffusers_peer.py --dtype f32\"
  dc-graph bench --model sd15/ --adapters random:sd15 --only \"text encoder\" --cold step

Times are medians of rounds in which everybody has a turn, so that a busy machine disturbs all alike: read the ratios. A
peer is a command that reads the name of a part on a line, does it once, and answers with milliseconds, or with a line
that is no number where it cannot.")]
pub(crate) struct Args {
    /// A diffusers folder, a single file, `pocket`, or `random:sd15-tiny`, `random:sd21-tiny`, `random:sd15` (4 GB)
    #[arg(long, default_value = "random:sd15-tiny")]
    model: String,
    /// Adapters for it; random ones where it is random
    #[arg(long)]
    adapters: Option<String>,
    /// auto, cpu, wgpu or wgpu:N, and so vulkan, metal and cuda where built
    #[arg(long, default_value_t = DeviceChoice::Auto, value_parser = |text: &str| text.parse::<DeviceChoice>())]
    device: DeviceChoice,
    /// Number type of the model: auto, f32, f16 or bf16
    #[arg(long, default_value_t = DTypeChoice::Auto, value_parser = |text: &str| text.parse::<DTypeChoice>())]
    dtype: DTypeChoice,
    /// Turns of each part, after one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Steps of the whole image
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Only the parts whose names hold one of these words
    #[arg(long)]
    only: Vec<String>,
    /// Another implementation, as a command; may be given several times
    #[arg(long)]
    peer: Vec<String>,
    /// Count the processor time of all threads in the place of time that passes (Linux), for machines that are busy
    #[arg(long)]
    processor_time: bool,
    /// Also start programs afresh: to the first image of the model, or to its first plain step with guidance (`step`), and
    /// the host alone, with their memory
    #[arg(long, value_name = "TO", num_args = 0..=1, default_missing_value = "image", value_parser = ["image", "step"])]
    cold: Option<String>,
    /// Do this once, and nothing else
    #[arg(long, hide = true, value_parser = ["image", "step"])]
    once: Option<String>,
    /// text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Write a file of this Markdown table as well
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    model: String,
    /// With its number type.
    device: String,
    clock: &'static str,
    rounds: u32,
    peers: Vec<String>,
    parts: Vec<Row>,
    cold: Vec<process::Cold>,
    /// The largest resident memory of this process so far, in MB.
    peak_memory: Option<f64>,
}

/// One part.
#[derive(Serialize)]
struct Row {
    name: String,
    /// Median milliseconds.
    milliseconds: f64,
    gflop: f64,
    gflop_per_second: f64,
    /// The weights, in the number type they are in.
    megabytes: f64,
    /// Median milliseconds of each peer that does it.
    peers: Vec<Option<f64>>,
}

/// Measures.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let adapters = match (&args.adapters, args.model.starts_with("random:") || args.model == checkpoint::POCKET) {
        (Some(adapters), _) => adapters,
        (None, true) => &args.model,
        (None, false) => bail!("adapters are needed for `{}`: give `--adapters FILE`", args.model),
    };
    let device::Resolved { device, dtype, label, .. } =
        device::resolve(args.device, args.dtype).map_err(|e| anyhow!("{e}"))?;
    streams::talk(&format!("loading {}", args.model));
    let model = BaseModel::load(&args.model, &device, dtype, None).map_err(|e| anyhow!("{e}"))?;
    let adapters =
        load_adapters(adapters, &model.unet_config, model.family, &device, dtype).map_err(|e| anyhow!("{e}"))?;
    let bench = Bench::new(model, adapters, args.steps as usize).map_err(|e| anyhow!("{e}"))?;
    if let Some(once) = &args.once {
        let work = if once == "step" { bench.step() } else { bench.draw() };
        work.map_err(|e| anyhow!("{e}"))?;
        return Ok(Exit::Done);
    }
    let machine = Machine::here();
    let mut peers = Vec::with_capacity(args.peer.len());
    for command in &args.peer {
        let peer = Peer::start(command, machine.threads, args.processor_time);
        peers.push(peer.with_context(|| format!("cannot start the peer `{command}`"))?);
    }
    let mut rows = Vec::new();
    for mut part in bench.parts() {
        let wanted = args.only.is_empty() || args.only.iter().any(|word| part.name.contains(word.as_str()));
        if wanted {
            streams::talk(&part.name);
            let row = measure(&mut part, &mut peers, args, dtype.size())?;
            streams::talk(&format!("{}: {:.1} ms", row.name, row.milliseconds));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        bail!("no part is called like {:?}", args.only);
    }
    let peak_memory = process::peak_memory(std::process::id());
    let mut cold = Vec::new();
    if let Some(first) = &args.cold {
        cold.push(process::host()?);
        cold.push(process::first(first, args)?);
        for (command, peer) in args.peer.iter().zip(&peers) {
            cold.push(peer.cold(command, machine.threads, first)?);
        }
    }
    let report = Report {
        machine,
        model: args.model.clone(),
        device: label,
        clock: if args.processor_time { "processor" } else { "wall" },
        rounds: args.rounds,
        peers: peers.iter().map(|peer| peer.name.clone()).collect(),
        parts: rows,
        cold,
        peak_memory,
    };
    let text = table::markdown(&report);
    if let Some(path) = &args.write {
        std::fs::write(path, &text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    match args.format.as_str() {
        "json" => streams::json(&serde_json::to_value(&report)?)?,
        _ => streams::data(&text)?,
    }
    Ok(Exit::Done)
}

fn measure(part: &mut Part, peers: &mut [Peer], args: &Args, bytes: usize) -> anyhow::Result<Row> {
    let mut own = Vec::with_capacity(args.rounds as usize);
    let mut others = vec![Vec::new(); peers.len()];
    for round in 0..=args.rounds {
        let taken = clocked(args.processor_time, || (part.run)()).map_err(|e| anyhow!("{}: {e}", part.name))?;
        let answers: Vec<_> = peers.iter_mut().map(|peer| peer.time(&part.name)).collect::<Result<_, _>>()?;
        // The first turn warms up.
        if round > 0 {
            own.push(taken);
            others.iter_mut().zip(answers).for_each(|(times, answer)| times.extend(answer));
        }
    }
    let milliseconds = median(own).unwrap_or(f64::NAN);
    let gflop = part.cost.operations / 1e9;
    Ok(Row {
        name: part.name.clone(),
        milliseconds,
        gflop,
        gflop_per_second: gflop / milliseconds * 1e3,
        megabytes: part.cost.weights * bytes as f64 / 1e6,
        peers: others.into_iter().map(median).collect(),
    })
}

/// Milliseconds that the work takes, or that all threads compute in the meantime.
fn clocked<E>(processor_time: bool, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let began = (Instant::now(), processor_time.then(process::processor_time).flatten());
    work()?;
    Ok(match (began.1, process::processor_time()) {
        (Some(before), Some(after)) => after - before,
        _ => began.0.elapsed().as_secs_f64() * 1e3,
    })
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}
