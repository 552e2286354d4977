//! Processes: their time, their memory, and how long they take from nothing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use super::{Args, machine, median};

/// A program started afresh and seen to its end.
#[derive(Serialize)]
pub(super) struct Cold {
    pub(super) name: String,
    /// From its start to its end.
    pub(super) milliseconds: f64,
    /// Its largest resident memory, in MB, where the system tells.
    pub(super) peak_memory: Option<f64>,
}

/// Starts of the host: it is over in no time.
const HOST_ROUNDS: usize = 9;

/// Milliseconds computed by all threads of this process so far, from Linux's scheduler.
pub(super) fn processor_time() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.filter_map(|task| {
        let statistics = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    Some(nanoseconds.sum::<u64>() as f64 / 1e6)
}

/// The largest resident memory of a process so far, in MB.
pub(super) fn peak_memory(process: u32) -> Option<f64> {
    let line = machine::line_of(&format!("/proc/{process}/status"), "VmHWM")?;
    line.split(' ').next()?.parse::<f64>().ok().map(|kilobytes| kilobytes / 1e3)
}

/// Runs a command to its end.
pub(super) fn cold(name: &str, mut command: Command) -> anyhow::Result<Cold> {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut memory = None;
    let status = loop {
        // As last seen: the system forgets it with the process.
        memory = peak_memory(child.id()).or(memory);
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(Cold { name: name.into(), milliseconds, peak_memory: memory })
}

/// This program from nothing to the first image or step of the model.
pub(super) fn first(first: &str, args: &Args) -> anyhow::Result<Cold> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--once", first, "--model", &args.model, "--steps", &args.steps.to_string()]);
    command.args(["--device", &args.device.to_string(), "--dtype", &args.dtype.to_string()]);
    if let Some(adapters) = &args.adapters {
        command.args(["--adapters", adapters]);
    }
    cold(&format!("start to first {first}"), command)
}

/// This program from nothing to the end of a graph with one node that computes nothing: more than to its first node.
pub(super) fn host() -> anyhow::Result<Cold> {
    let folder = tempfile::tempdir()?;
    let graph = folder.path().join("graph.json");
    let text = r#"{"version": 1, "name": "bench", "nodes": {"text": {"type": "Text", "inputs": {"value": "a"}}}, "outputs": {"text": {"from": "text.value"}}}"#;
    std::fs::write(&graph, text)?;
    let mut found = Vec::with_capacity(HOST_ROUNDS);
    for _ in 0..HOST_ROUNDS {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg(&graph).arg("--output").arg(folder.path()).stderr(Stdio::null());
        found.push(cold("start to the end of a graph of one node", command)?);
    }
    let milliseconds = median(found.iter().map(|cold| cold.milliseconds).collect()).unwrap_or(f64::NAN);
    let peak_memory = median(found.iter().filter_map(|cold| cold.peak_memory).collect());
    Ok(Cold { name: found.swap_remove(0).name, milliseconds, peak_memory })
}
