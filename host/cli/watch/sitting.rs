//! The loop: what happens when something happens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Instant;

use dc_graph::exec::CancelToken;
use dc_graph::registry::Registry;
use dc_graph::store::Store;
use serde_json::json;

use super::after::After;
use super::command::{OnChange, Session};
use super::looking::{Looking, Sight};
use super::notice::Notice;
use super::turn::{self, Ended, Outcome};
use crate::cli::exit::Exit;

/// A sitting from its first run until somebody leaves.
pub(super) struct Sitting<'s, 'e> {
    session: &'s Session<'s>,
    looking: Looking<'s>,
    scope: &'s Scope<'s, 'e>,
    send: Sender<Notice>,
    after: Option<After>,
    /// The nodes for the next run; nothing while plugins are loaded.
    registry: Option<Arc<Registry>>,
    /// Plugins changed while they were loaded.
    load_again: bool,
    run: u64,
    running: Option<Running>,
    /// A run is to begin as soon as none is under way and the nodes are there.
    wanted: bool,
    /// What has changed and nobody has asked a run for yet.
    unanswered: Vec<PathBuf>,
    leaving: Option<Exit>,
    /// Whether it has been said that nothing is to be done.
    said_waiting: bool,
}

struct Running {
    cancel: CancelToken,
    began: Instant,
    obsolete: bool,
}

impl<'s, 'e> Sitting<'s, 'e> {
    /// Nothing runs yet.
    pub(super) fn new(
        session: &'s Session<'s>,
        looking: Looking<'s>,
        scope: &'s Scope<'s, 'e>,
        send: Sender<Notice>,
    ) -> Self {
        let after = session.args.exec.as_deref().map(|command| After::new(command, looking.graph(), &session.telling));
        Self {
            session,
            looking,
            scope,
            send,
            after,
            registry: None,
            load_again: false,
            run: 0,
            running: None,
            wanted: true,
            unanswered: Vec::new(),
            leaving: None,
            said_waiting: false,
        }
    }

    /// Goes on until somebody leaves.
    pub(super) fn go(mut self, notices: &Receiver<Notice>) -> Exit {
        self.load();
        loop {
            if self.running.is_none() {
                if let Some(exit) = self.leaving {
                    return exit;
                }
                match self.registry.clone().filter(|_| self.wanted) {
                    Some(registry) => self.begin(registry),
                    None => {
                        self.wait();
                        if self.wanted && self.registry.is_some() {
                            continue;
                        }
                    }
                }
            }
            let now = Instant::now();
            let notice = match self.looking.due() {
                Some(due) if due <= now => notices.try_recv().ok(),
                Some(due) => match notices.recv_timeout(due - now) {
                    Ok(notice) => Some(notice),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Exit::Failed,
                },
                // This loop holds a sender itself, so the channel does not end.
                None => notices.recv().ok(),
            };
            match notice {
                Some(notice) => self.hear(notice),
                None => self.look(),
            }
        }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Touched(names) => self.looking.touched(names),
            Notice::Depends(seen) => self.looking.depends(seen),
            Notice::Reads(path, digest) => self.looking.reads(path, digest),
            Notice::Ended(ended) => self.ended(*ended),
            Notice::Loaded(loaded) => self.loaded(loaded),
            Notice::Run => {
                self.unanswered.clear();
                self.make_obsolete();
                self.wanted = true;
            }
            Notice::Stop => {
                if let Some(running) = &self.running {
                    running.cancel.cancel();
                }
            }
            Notice::Leave => self.leave(Exit::Done),
            Notice::Interrupt => {
                self.session.telling.note("interrupted", "leaving; a second Ctrl-C stops at once", json!({}));
                self.leave(Exit::Interrupted);
            }
        }
    }

    fn leave(&mut self, exit: Exit) {
        self.leaving.get_or_insert(exit);
        if let Some(running) = &self.running {
            running.cancel.cancel();
        }
    }

    /// Says once that nothing is to be done.
    fn wait(&mut self) {
        if self.registry.is_some() && !std::mem::replace(&mut self.said_waiting, true) {
            // Only what is watched can be said to be.
            self.look();
            if !self.wanted {
                self.session.telling.waiting(self.looking.files(), self.looking.look_every());
            }
        }
    }

    fn begin(&mut self, registry: Arc<Registry>) {
        self.wanted = false;
        self.said_waiting = false;
        self.run += 1;
        self.looking.forget();
        self.session.telling.begin(self.run);
        let cancel = CancelToken::default();
        self.running = Some(Running { cancel: cancel.clone(), began: Instant::now(), obsolete: false });
        let (session, send, graph) = (self.session, self.send.clone(), self.looking.graph().to_path_buf());
        self.scope.spawn(move || {
            let ended = turn::turn(session, &registry, graph, &cancel, &send);
            let _ = send.send(Notice::Ended(Box::new(ended)));
        });
    }

    fn ended(&mut self, ended: Ended) {
        let Some(running) = self.running.take() else { return };
        self.looking.wrote(&ended.files);
        for warning in self.session.store.iter().flat_map(Store::take_warnings) {
            self.session.telling.warn(&warning);
        }
        self.session.telling.ended(self.run, &ended, running.obsolete, running.began.elapsed().as_secs_f64());
        if let (Outcome::Done(_), Some(after)) = (&ended.outcome, &self.after) {
            after.run(self.run, ended.files);
        }
    }

    fn look(&mut self) {
        let telling = &self.session.telling;
        match self.looking.look(|warning| telling.warn(warning)) {
            Sight::Nothing => {}
            Sight::Unchanged(files) => {
                self.unanswered.clear();
                if !files.is_empty() {
                    telling.unchanged(&files);
                }
            }
            Sight::Changed { files, plugins } => {
                if !plugins.is_empty() {
                    telling.changed(&plugins, if self.asks() { "; Enter runs" } else { "" });
                    self.load();
                }
                if !files.is_empty() {
                    self.changed(files);
                }
            }
        }
    }

    fn asks(&self) -> bool {
        self.session.args.on_change == OnChange::Ask
    }

    fn changed(&mut self, files: Vec<PathBuf>) {
        if !self.asks() {
            self.session.telling.changed(&files, "");
            self.make_obsolete();
            self.wanted = true;
            self.looking.forget();
        } else if files != self.unanswered {
            self.session.telling.changed(&files, "; Enter runs");
            self.unanswered = files;
        }
    }

    /// Stops the run that is under way. What it has finished is kept.
    fn make_obsolete(&mut self) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.obsolete) {
            running.obsolete = true;
            running.cancel.cancel();
            let text = format!("run {} is obsolete", self.run);
            self.session.telling.note("obsolete", &text, json!({ "run": self.run }));
        }
    }

    /// Loads plugins, beside a run that goes on with those of before.
    fn load(&mut self) {
        if self.run > 0 && self.registry.is_none() {
            self.load_again = true;
            return;
        }
        self.registry = None;
        let (session, send) = (self.session, self.send.clone());
        let folder = self.looking.graph().parent().map(PathBuf::from);
        self.scope.spawn(move || {
            let mut registry = session.builtin.clone();
            let say = |text: &str| session.telling.note("warning", text, json!({}));
            let (plugins, beside) = (&session.args.plugins, folder.as_deref().unwrap_or(Path::new("")));
            // The keyboard has other uses here: how to allow something is told, and its effect is seen at once.
            let used = session.args.graph.open().map(|opened| opened.node_types()).unwrap_or_default();
            let settled = plugins.settle(&used, beside, false, say);
            let joined = settled.and_then(|()| plugins.join(&mut registry, beside, say));
            let _ = send.send(Notice::Loaded(joined.map(|()| registry).map_err(|error| format!("{error:#}"))));
        });
    }

    fn loaded(&mut self, loaded: Result<Registry, String>) {
        let telling = &self.session.telling;
        let registry = loaded.unwrap_or_else(|error| {
            telling.note("problems", &format!("error: {error}"), json!({ "diagnostics": [] }));
            self.session.builtin.clone()
        });
        let count = registry.iter().count() - self.session.builtin.iter().count();
        let text = if self.run > 0 { format!("{count} node types of plugins") } else { String::new() };
        telling.note("plugins", &text, json!({ "nodes": count }));
        self.registry = Some(Arc::new(registry));
        if std::mem::take(&mut self.load_again) {
            self.load();
        }
        // The first run of a sitting needs no asking.
        self.wanted |= !self.asks();
        self.said_waiting = false;
    }
}
