//! Which files are watched, and what is different in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dc_graph::exec::{Digest, Digests};
use dc_graph::watch::{Change, ChangeKind, Contents, Settle, Verdict, Watched, Watcher};

use super::command::Session;
use crate::cli::plugin_args::PluginArgs;

/// The files of a sitting.
pub(super) struct Looking<'a> {
    watcher: Watcher,
    watched: Watched,
    warned: bool,
    settle: Settle,
    touched: BTreeSet<PathBuf>,
    looked: Instant,
    graph: PathBuf,
    /// What the last run depended on; nothing while a run has not told yet, so that there is nothing to compare with.
    seen: Option<Contents>,
    plugin_args: &'a PluginArgs,
    plugins: Contents,
    listings: Vec<PathBuf>,
    digests: &'a Digests,
}

/// What somebody saw who looked.
pub(super) enum Sight {
    /// Nothing of note.
    Nothing,
    /// Something happened to these, but they hold what they held.
    Unchanged(Vec<PathBuf>),
    /// These hold something else.
    Changed {
        /// What the run depends on itself.
        files: Vec<PathBuf>,
        /// What decides which plugins there are.
        plugins: Vec<PathBuf>,
    },
}

impl<'a> Looking<'a> {
    /// The plugins are those of now.
    pub(super) fn new(watcher: Watcher, graph: PathBuf, session: &'a Session<'a>) -> Self {
        let mut looking = Self {
            watcher,
            watched: Watched::default(),
            warned: false,
            settle: Settle::default(),
            touched: BTreeSet::new(),
            looked: Instant::now(),
            graph,
            seen: None,
            plugin_args: &session.args.plugins,
            plugins: Contents::default(),
            listings: Vec::new(),
            digests: &session.digests,
        };
        (looking.plugins, looking.listings) = looking.plugins_now();
        looking
    }

    fn plugins_now(&self) -> (Contents, Vec<PathBuf>) {
        let folder = self.graph.parent().unwrap_or(Path::new("/"));
        let (files, listings) = self.plugin_args.sources(folder);
        let mut contents = Contents::default();
        files.iter().for_each(|file| contents.note_now(file, self.digests));
        (contents, listings)
    }

    /// Something happened to these names.
    pub(super) fn touched(&mut self, names: Vec<PathBuf>) {
        self.touched.extend(names);
        self.settle.touched(Instant::now());
    }

    /// A run begins and will tell what it depends on.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// A run depends on this. The files are to be looked at soon: they may have changed since it saw them.
    pub(super) fn depends(&mut self, seen: Contents) {
        self.seen = Some(seen);
        self.touched.clear();
        self.settle.touched(Instant::now());
    }

    /// The run depends on this as well.
    pub(super) fn reads(&mut self, path: PathBuf, digest: Option<Digest>) {
        if let Some(seen) = &mut self.seen {
            seen.note(path, digest);
            self.settle.touched(Instant::now());
        }
    }

    /// The run has written these itself: that is no edit.
    pub(super) fn wrote(&mut self, files: &[PathBuf]) {
        if let Some(seen) = &mut self.seen {
            files.iter().for_each(|file| seen.renew(file, self.digests));
        }
    }

    /// The graph's file.
    pub(super) fn graph(&self) -> &Path {
        &self.graph
    }

    /// How many files are watched.
    pub(super) fn files(&self) -> usize {
        self.seen.as_ref().map_or(0, Contents::len) + self.plugins.paths().filter(|path| path.exists()).count()
    }

    /// How often somebody has to look without a reason.
    pub(super) fn look_every(&self) -> Option<Duration> {
        self.watched.look_every
    }

    /// When to look.
    pub(super) fn due(&self) -> Option<Instant> {
        self.seen.as_ref()?;
        let regular = self.watched.look_every.map(|every| self.looked + every);
        regular.into_iter().chain(self.settle.due()).min()
    }

    /// Looks. What has changed is told once for plugins, and for the rest as long as it is so.
    pub(super) fn look(&mut self, warn: impl FnOnce(&str)) -> Sight {
        let Some(seen) = &self.seen else { return Sight::Nothing };
        let (plugins, listings) = self.plugins_now();
        // Watched first, compared then: what happens in between is told.
        let paths = seen.paths().chain(plugins.paths()).chain([self.graph.as_path()]);
        self.watched = self.watcher.watch(paths, listings.iter().map(PathBuf::as_path));
        if let Some(warning) = self.watched.warning.as_deref().filter(|_| !std::mem::replace(&mut self.warned, true)) {
            warn(warning);
        }
        let now = Instant::now();
        self.looked = now;
        let files = seen.changes(self.digests);
        let mut of_plugins = self.plugins.changes(self.digests);
        let new = plugins.paths().filter(|path| !self.plugins.paths().any(|known| known == *path));
        of_plugins.extend(new.map(|path| Change { path: path.into(), kind: ChangeKind::Other }));
        let verdict = self.settle.looked(now, &[files.as_slice(), &of_plugins].concat());
        let paths = |changes: Vec<Change>| changes.into_iter().map(|change| change.path).collect::<Vec<_>>();
        match verdict {
            Verdict::Wait => Sight::Nothing,
            Verdict::Same => {
                let touched = std::mem::take(&mut self.touched);
                Sight::Unchanged(touched.into_iter().filter(|name| !name.is_dir()).collect())
            }
            Verdict::Changed => {
                self.touched.clear();
                if !of_plugins.is_empty() {
                    (self.plugins, self.listings) = (plugins, listings);
                }
                Sight::Changed { files: paths(files), plugins: paths(of_plugins) }
            }
        }
    }
}
