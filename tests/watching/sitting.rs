//! A program that watches, and what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::program::Place;

/// A failure limit, not a measure: machines may be slow.
const LONG: Duration = Duration::from_secs(180);

/// A program that watches. It ends with the test.
pub(super) struct Sitting {
    child: Child,
    keys: Option<ChildStdin>,
    heard: Receiver<Value>,
    data: Option<JoinHandle<String>>,
    /// Everything that was heard, for messages.
    log: Vec<Value>,
}

impl Sitting {
    /// `dc-graph watch` with these arguments.
    pub(super) fn start(place: &Place, args: &[&str]) -> Self {
        let all = [&["watch", "--progress", "json", "--format", "json", "--device", "cpu"], args].concat();
        let mut command = place.command(&all);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, heard) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let data = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let keys = child.stdin.take();
        Self { child, keys, heard, data: Some(data), log: Vec::new() }
    }

    /// The next thing that is heard.
    #[track_caller]
    pub(super) fn next(&mut self) -> Value {
        match self.heard.recv_timeout(LONG) {
            Ok(event) => {
                self.log.push(event.clone());
                event
            }
            Err(RecvTimeoutError::Timeout) => panic!("nothing more is heard after {}", self.told()),
            Err(RecvTimeoutError::Disconnected) => panic!("the program ended after {}", self.told()),
        }
    }

    /// Waits for something.
    #[track_caller]
    pub(super) fn wait_for(&mut self, what: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next();
            if what(&event) {
                return event;
            }
        }
    }

    /// Waits for an event of this kind.
    #[track_caller]
    pub(super) fn wait(&mut self, kind: &str) -> Value {
        self.wait_for(|event| event["event"] == kind)
    }

    /// Waits for the end of a run whose output has this value, and until the program waits again.
    #[track_caller]
    pub(super) fn wait_for_output(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        self.wait_for(|event| event["event"] == "ended" && event["outputs"][name] == value);
        self.wait("waiting");
    }

    /// Waits for the end of a run with this status; gives the names of the nodes that ran.
    #[track_caller]
    pub(super) fn wait_for_end(&mut self, status: &str) -> Vec<String> {
        let ended = self.wait("ended");
        assert_eq!(ended["status"], status, "after {}", self.told());
        ended["ran"].as_array().unwrap().iter().map(|node| node.as_str().unwrap().to_owned()).collect()
    }

    /// What was heard since the beginning, of these kinds.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.log.iter().filter(|event| event["event"] == kind).count()
    }

    /// Types a line.
    pub(super) fn key(&mut self, line: &str) {
        writeln!(self.keys.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the program to end: its exit code, and the summaries that it wrote.
    pub(super) fn end(mut self) -> (Option<i32>, Vec<Value>) {
        while self.heard.recv_timeout(LONG).is_ok() {}
        let code = self.child.wait().unwrap().code();
        let data = self.data.take().unwrap().join().unwrap();
        (code, data.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn told(&self) -> String {
        let last = self.log.iter().rev().take(30).rev();
        last.map(|event| format!("\n{event}")).collect()
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
