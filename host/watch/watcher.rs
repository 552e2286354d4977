//! The system's word that something happened to files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::mounts::Mounts;
use super::places::Places;

/// How often to look where the system cannot be relied on.
const SLOWLY: Duration = Duration::from_secs(2);

/// Tells when something may have happened to files that matter.
pub struct Watcher {
    places: Arc<Mutex<Places>>,
    /// Nothing when one looks by oneself instead.
    system: Option<RecommendedWatcher>,
    asked: Option<Duration>,
    folders: BTreeSet<PathBuf>,
}

/// How files are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// How often somebody has to look, because the system does not tell everything.
    pub look_every: Option<Duration>,
    /// Why, if that is worth a word.
    pub warning: Option<String>,
}

impl Watcher {
    /// Watches nothing yet. `tell` hears the names to which something happened, on a thread of the watcher's own. With
    /// `look_every` the system is not asked at all.
    pub fn new(look_every: Option<Duration>, tell: impl Fn(Vec<PathBuf>) + Send + 'static) -> (Self, Watched) {
        let places = Arc::new(Mutex::new(Places::default()));
        let known = places.clone();
        let listen = move |event: notify::Result<Event>| {
            let Some(names) = names(event) else { return };
            let places = known.lock().unwrap_or_else(PoisonError::into_inner);
            // Names without a place are those of an event that got lost.
            let concerned: Vec<_> = names.iter().filter(|name| places.concerns(name)).cloned().collect();
            drop(places);
            if names.is_empty() || !concerned.is_empty() {
                tell(concerned);
            }
        };
        let mut watched = Watched { look_every, warning: None };
        let system = match look_every {
            Some(_) => None,
            None => match notify::recommended_watcher(listen) {
                Ok(system) => Some(system),
                Err(error) => {
                    let warning = format!("the system does not tell of changes, so files are looked at: {error}");
                    watched = Watched { look_every: Some(SLOWLY), warning: Some(warning) };
                    None
                }
            },
        };
        let asked = watched.look_every;
        (Self { places, system, asked, folders: BTreeSet::new() }, watched)
    }

    /// From now on these files and folders are watched, with everything in the folders, and the names in `listings`; and
    /// nothing else. To be called again when something happened: a name may lead elsewhere now.
    ///
    /// What happened before the call may go untold, so look at the files after it.
    pub fn watch<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a Path>,
        listings: impl Iterator<Item = &'a Path>,
    ) -> Watched {
        let mut places = Places::default();
        paths.for_each(|path| places.add(path));
        listings.for_each(|folder| places.add_listing(folder));
        let folders = places.folders();
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
        let Some(system) = &mut self.system else {
            return Watched { look_every: self.asked, warning: None };
        };
        for old in self.folders.difference(&folders) {
            // Gone already when the folder has gone.
            let _ = system.unwatch(old);
        }
        let mut watched = Watched::default();
        let mounts = Mounts::now();
        for folder in &folders {
            if mounts.elsewhere(folder) {
                watched.look_every = Some(SLOWLY);
            }
            // Again each time: the system watches a folder, not a name, and another one may be there now.
            match system.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    watched.look_every = Some(SLOWLY);
                    if matches!(error.kind, ErrorKind::MaxFilesWatch) {
                        let warning = "the system watches no more folders, so files are looked at every 2 s; \
                                       `fs.inotify.max_user_watches` raises its limit";
                        watched.warning = Some(warning.into());
                    }
                }
            }
        }
        self.folders = folders;
        watched
    }
}

/// The names of an event; none when events got lost; nothing when it changes no file.
fn names(event: notify::Result<Event>) -> Option<Vec<PathBuf>> {
    let event = match event {
        Ok(event) if event.need_rescan() => return Some(Vec::new()),
        Ok(event) => event,
        Err(_) => return Some(Vec::new()),
    };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(event.paths),
        // Reading changes nothing, and we read.
        EventKind::Access(_) => None,
        _ => Some(event.paths),
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    /// A failure limit, not a measure.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn tells_what_happens_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let [file, other] = ["file", "other"].map(|name| root.join(name));
        fs::write(&file, "one").unwrap();
        let (send, heard) = mpsc::channel();
        let (mut watcher, _) = Watcher::new(None, move |names| drop(send.send(names)));
        watcher.watch([file.as_path()].into_iter(), std::iter::empty());
        let hear = || heard.recv_timeout(LONG).unwrap();
        fs::write(&other, "nobody asked").unwrap();
        fs::write(&file, "two").unwrap();
        assert_eq!(hear(), std::slice::from_ref(&file), "the other file comes first, but is not told");
        // The folder is replaced by another one of the same name.
        let moved = root.with_extension("moved");
        fs::rename(&root, &moved).unwrap();
        while hear() != [root.clone()] {}
        fs::create_dir(&root).unwrap();
        while hear() != [root.clone()] {}
        watcher.watch([file.as_path()].into_iter(), std::iter::empty());
        fs::write(&file, "three").unwrap();
        while hear() != [file.clone()] {}
        fs::remove_dir_all(&moved).unwrap();
    }

    #[test]
    fn who_looks_by_oneself_is_told_nothing() {
        let (mut watcher, watched) = Watcher::new(Some(LONG), |_| panic!("nobody was asked"));
        assert_eq!(watched.look_every, Some(LONG));
        let folder = tempfile::tempdir().unwrap();
        let watched = watcher.watch([folder.path()].into_iter(), std::iter::empty());
        assert_eq!(watched.look_every, Some(LONG));
    }
}
