//! Another implementation, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::process::{self, Cold};

/// A command that does the parts whose names it reads, and answers with milliseconds.
pub(super) struct Peer {
    /// What it calls itself.
    pub(super) name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn command(text: &str, threads: usize) -> anyhow::Result<Command> {
    let mut words = text.split_whitespace();
    let Some(program) = words.next() else { bail!("a peer is a command, found nothing") };
    let mut command = Command::new(program);
    command.args(words).args(["--threads", &threads.to_string()]).stdout(Stdio::piped());
    Ok(command)
}

impl Peer {
    /// Starts it, and waits for its name, which it says first.
    pub(super) fn start(text: &str, threads: usize, processor_time: bool) -> anyhow::Result<Self> {
        let mut command = command(text, threads)?;
        if processor_time {
            command.arg("--processor-time");
        }
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { bail!("it has no streams") };
        let mut peer = Self { name: String::new(), child, input, output: BufReader::new(output) };
        peer.name = peer.line()?;
        Ok(peer)
    }

    /// Milliseconds of a part; nothing where it does not have it.
    pub(super) fn time(&mut self, part: &str) -> anyhow::Result<Option<f64>> {
        writeln!(self.input, "{part}").with_context(|| format!("the peer `{}` is gone", self.name))?;
        let found = self.line()?.parse().ok();
        // Its threads go on looking for work for a while.
        std::thread::sleep(Duration::from_millis(30));
        Ok(found)
    }

    /// Starts it afresh for its first image or step.
    pub(super) fn cold(&self, text: &str, threads: usize, first: &str) -> anyhow::Result<Cold> {
        let mut command = command(text, threads)?;
        command.args(["--once", first]).stdin(Stdio::null());
        process::cold(&format!("{}: start to first {first}", self.name), command)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("it ended without an answer");
        }
        Ok(line.trim().to_string())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
