//! The command of `--exec`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;

use super::telling::Telling;
use crate::cli::progress::Mode;

/// Runs the command for the files of one run after the other; while it runs, later ones wait, and only the latest of them
/// is not passed over.
pub(super) struct After(Sender<Job>);

struct Job {
    run: u64,
    files: Vec<PathBuf>,
}

impl After {
    /// Ready, on a thread of its own.
    pub(super) fn new(command: &str, graph: &Path, telling: &Arc<Telling>) -> Self {
        let (send, jobs) = channel();
        let (command, graph, telling) = (command.to_owned(), graph.to_path_buf(), telling.clone());
        // Not waited for: what the command shows may stay open when the sitting is over.
        std::thread::spawn(move || work(&command, &graph, &jobs, &telling));
        Self(send)
    }

    /// The files of a run that went well.
    pub(super) fn run(&self, run: u64, files: Vec<PathBuf>) {
        // The thread lives as long as this.
        let _ = self.0.send(Job { run, files });
    }
}

fn work(command: &str, graph: &Path, jobs: &Receiver<Job>, telling: &Telling) {
    while let Ok(first) = jobs.recv() {
        let job = jobs.try_iter().last().unwrap_or(first);
        let mut process = shell(command, &job.files);
        process.env("DC_GRAPH_FILES", lines(&job.files)).env("DC_GRAPH_GRAPH", graph);
        process.env("DC_GRAPH_RUN", job.run.to_string()).stdin(Stdio::null());
        let result = match telling.mode {
            // Scripts read standard error line by line: what the command says comes to them as events.
            Mode::Json => piped(process, telling),
            _ => process.status(),
        };
        let fields = |code: Option<i32>| json!({ "run": job.run, "code": code });
        match result {
            Ok(status) if status.success() => telling.note("exec", "", fields(status.code())),
            Ok(status) => telling.note("exec", &format!("warning: `--exec`: {status}"), fields(status.code())),
            Err(error) => telling.note("exec", &format!("warning: `--exec`: {error}"), fields(None)),
        }
    }
}

#[cfg(unix)]
fn shell(command: &str, files: &[PathBuf]) -> Command {
    let mut process = Command::new("sh");
    process.arg("-c").arg(command).arg("sh").args(files);
    process
}

#[cfg(windows)]
fn shell(command: &str, files: &[PathBuf]) -> Command {
    let mut process = Command::new("cmd");
    process.arg("/C").arg(command).args(files);
    process
}

fn lines(files: &[PathBuf]) -> OsString {
    let mut text = OsString::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            text.push("\n");
        }
        text.push(file);
    }
    text
}

fn piped(mut process: Command, telling: &Telling) -> std::io::Result<std::process::ExitStatus> {
    let mut child = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let streams = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let tell = |stream: Option<Box<dyn Read + Send>>| {
            let lines = stream.into_iter().flat_map(|stream| BufReader::new(stream).split(b'\n').map_while(Result::ok));
            lines.for_each(|line| telling.note("exec", &String::from_utf8_lossy(&line), json!({})));
        };
        scope.spawn(move || tell(streams.0.map(|s| Box::new(s) as _)));
        scope.spawn(move || tell(streams.1.map(|s| Box::new(s) as _)));
    });
    child.wait()
}
