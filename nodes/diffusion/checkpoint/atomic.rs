//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;

/// Writes a file beside `path` and renames it there when `write` has succeeded, replacing what was there.
///
/// # Errors
/// Those of `write`, and of the file system.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let failed = |source| Error::File { path: path.to_path_buf(), source };
    let Some(name) = path.file_name() else {
        return Err(Error::Argument(format!("`{}` does not name a file", path.display())));
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_file_name(format!(".{}.{}-{count}.part", name.to_string_lossy(), std::process::id()));
    let written = File::create_new(&beside).map_err(failed).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        write(&mut file)?;
        file.flush().map_err(failed)?;
        file.get_ref().sync_all().map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    });
    if written.is_err() {
        // The first error says more than one about cleaning up would.
        let _ = fs::remove_file(&beside);
    }
    written
}
