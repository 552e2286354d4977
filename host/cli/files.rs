//! Writing files that are whole or not there.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Writes a file beside its place, then moves it there: a reader sees all of the old one or all of the new one. One that
/// is replaced keeps its permissions.
pub(crate) fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dc-graph-").suffix(".tmp");
        #[cfg(unix)]
        {
            // Temporary files are private by default; the process's umask decides about results.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(contents)?;
        if let Ok(old) = fs::metadata(path) {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
