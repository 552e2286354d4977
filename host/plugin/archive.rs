//! Files from a `.zip` or a `.tar.gz` of a stranger, into memory: nothing is written, nothing leads out, nothing swells.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use rawzip::{CompressionMethod, ZipArchive};

/// Files of an archive: more is no plugin.
const MAX_FILES: usize = 1000;
/// Bytes of all files of an archive, unpacked.
const MAX_BYTES: u64 = 128 << 20;

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its name or its contents say nothing known.
    #[error("expected a folder, a `.zip` or a `.tar.gz`")]
    Kind,
    /// It is damaged or made in a way that is not read.
    #[error("it cannot be unpacked: {0}")]
    Damaged(String),
    /// A name in it leads out of the folder that it is unpacked to.
    #[error("it holds `{0}`, which leads out of it: nothing of it is used")]
    Escapes(String),
    /// It holds something that is neither a file nor a folder.
    #[error("it holds `{0}`, which is a link or a device: nothing of it is used")]
    Special(String),
    /// The same name stands in it twice.
    #[error("it holds `{0}` twice")]
    Twice(String),
    /// It holds too many files.
    #[error("it holds more than {MAX_FILES} files")]
    Many,
    /// It holds too much.
    #[error("it holds more than {} MiB", MAX_BYTES >> 20)]
    Large,
}

/// The files of an archive by their names in it, `/` between folders.
///
/// # Errors
/// As [`ArchiveError`] says; an archive that is hostile in one place is refused as a whole.
pub(super) fn unpack(name: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let mut files = Files { found: BTreeMap::new(), left: MAX_BYTES };
    let name = name.to_string_lossy().to_lowercase();
    if name.ends_with(".zip") {
        unzip(bytes, &mut files)?;
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        untar(bytes, &mut files)?;
    } else {
        return Err(ArchiveError::Kind);
    }
    Ok(files.found)
}

struct Files {
    found: BTreeMap<String, Vec<u8>>,
    left: u64,
}

impl Files {
    /// Reads a file of the archive, as far as there is room: what its header says of its size is not believed.
    fn add(&mut self, name: &str, contents: &mut dyn Read) -> Result<(), ArchiveError> {
        if self.found.len() >= MAX_FILES {
            return Err(ArchiveError::Many);
        }
        let mut bytes = Vec::new();
        contents.take(self.left + 1).read_to_end(&mut bytes).map_err(damaged)?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ArchiveError::Large)?;
        match self.found.insert(name.into(), bytes) {
            Some(_) => Err(ArchiveError::Twice(name.into())),
            None => Ok(()),
        }
    }
}

fn damaged(error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}

/// A name of an archive, without `./`, if it stays inside wherever it is unpacked, on any system.
fn inside(name: &[u8]) -> Result<String, ArchiveError> {
    let escapes = || ArchiveError::Escapes(String::from_utf8_lossy(name).escape_debug().to_string());
    let name = std::str::from_utf8(name).map_err(|_| escapes())?;
    if name.starts_with('/') || name.contains(['\\', ':', '\0']) || name.split('/').any(|part| part == "..") {
        return Err(escapes());
    }
    let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Ok(parts.join("/"))
}

fn unzip(bytes: &[u8], files: &mut Files) -> Result<(), ArchiveError> {
    let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        let path = entry.file_path();
        let name = inside(path.as_ref())?;
        // The upper four bits of a Unix mode are the kind: 0 when the archive was made elsewhere, 8 a file, 4 a folder.
        let kind = entry.mode().value() >> 12;
        if !matches!(kind, 0 | 4 | 8) || entry.flags().is_encrypted() {
            return Err(ArchiveError::Special(name));
        }
        if entry.is_dir() || kind == 4 {
            continue;
        }
        let method = entry.compression_method();
        let local = archive.get_entry(entry.wayfinder()).map_err(damaged)?;
        match method {
            CompressionMethod::STORE => files.add(&name, &mut local.verifying_reader(local.data()))?,
            CompressionMethod::DEFLATE => {
                let inflate = flate2::bufread::DeflateDecoder::new(local.data());
                files.add(&name, &mut local.verifying_reader(inflate))?;
            }
            other => return Err(ArchiveError::Damaged(format!("`{name}` is packed in an unusual way ({other:?})"))),
        }
    }
    Ok(())
}

fn untar(bytes: &[u8], files: &mut Files) -> Result<(), ArchiveError> {
    // Headers and padding count too: a bomb of empty entries is one as well.
    let most = MAX_BYTES + ((MAX_FILES as u64) << 11);
    let mut archive = tar::Archive::new(flate2::bufread::GzDecoder::new(bytes).take(most));
    for (seen, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if seen > MAX_FILES {
            return Err(ArchiveError::Many);
        }
        let mut entry = entry.map_err(|error: io::Error| damaged(error))?;
        let name = inside(&entry.path_bytes())?;
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => files.add(&name, &mut entry)?,
            tar::EntryType::Directory | tar::EntryType::XGlobalHeader => {}
            _ => return Err(ArchiveError::Special(name)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn zip(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
        for (name, contents, mode) in entries {
            let (mut entry, config) = archive
                .new_file(name)
                .compression_method(CompressionMethod::DEFLATE)
                .unix_permissions(*mode)
                .start()
                .unwrap();
            let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast()));
            writer.write_all(contents).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        out
    }

    fn tar_gz(entries: &[(&str, &[u8], tar::EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, contents, kind) in entries {
            let mut header = tar::Header::new_old();
            // Written by hand: the builder refuses what is tested here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *contents).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn files_come_out() {
        let expected: BTreeMap<String, Vec<u8>> =
            [("a/plugin.toml".into(), b"x".to_vec()), ("a/b.wasm".into(), vec![0; 5000])].into();
        let zipped = zip(&[("a/plugin.toml", b"x", 0o100_644), ("./a/b.wasm", &[0; 5000], 0o100_755)]);
        assert_eq!(unpack(Path::new("P.ZIP"), &zipped).unwrap(), expected);
        let tarred = tar_gz(&[
            ("a/", b"", tar::EntryType::Directory),
            ("a/plugin.toml", b"x", FILE),
            ("a/b.wasm", &[0; 5000], FILE),
        ]);
        for name in ["p.tar.gz", "p.tgz"] {
            assert_eq!(unpack(Path::new(name), &tarred).unwrap(), expected);
        }
        assert!(matches!(unpack(Path::new("p.rar"), &zipped), Err(ArchiveError::Kind)));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../a", "a/../../b", "/etc/passwd", "C:/a", "a\\..\\b", "..", "a/.."] {
            let zipped = unpack(Path::new("p.zip"), &zip(&[("fine", b"", 0o100_644), (name, b"x", 0o100_644)]));
            // The writer of the tests turns some of these names into harmless ones.
            if let Ok(files) = &zipped {
                assert!(files.keys().all(|f| !f.contains("..") && !f.starts_with('/')), "{files:?}");
            }
            let tarred = unpack(Path::new("p.tgz"), &tar_gz(&[("fine", b"", FILE), (name, b"x", FILE)]));
            assert!(matches!(tarred, Err(ArchiveError::Escapes(_))), "{name}: {tarred:?}");
            assert!(matches!(inside(name.as_bytes()), Err(ArchiveError::Escapes(_))), "{name}");
        }
    }

    #[test]
    fn links_and_devices_are_refused() {
        use tar::EntryType as Kind;
        for kind in [Kind::Symlink, Kind::Link, Kind::Char, Kind::Block, Kind::Fifo] {
            let tarred = unpack(Path::new("p.tgz"), &tar_gz(&[("a", b"", kind)]));
            assert!(matches!(tarred, Err(ArchiveError::Special(_))), "{kind:?}: {tarred:?}");
        }
        let zipped = unpack(Path::new("p.zip"), &zip(&[("a", b"/etc/passwd", 0o120_777)]));
        assert!(matches!(zipped, Err(ArchiveError::Special(_))), "{zipped:?}");
    }

    #[test]
    fn bombs_and_doubles_are_refused() {
        let zeros = vec![0; (MAX_BYTES / 2) as usize + 1];
        for bomb in [
            unpack(Path::new("p.zip"), &zip(&[("a", &zeros, 0o100_644), ("b", &zeros, 0o100_644)])),
            unpack(Path::new("p.tgz"), &tar_gz(&[("a", &zeros, FILE), ("b", &zeros, FILE)])),
        ] {
            assert!(matches!(bomb, Err(ArchiveError::Large)), "{:?}", bomb.err());
        }
        let names: Vec<_> = (0..=MAX_FILES).map(|i| i.to_string()).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..], FILE)).collect();
        assert!(matches!(unpack(Path::new("p.tgz"), &tar_gz(&many)), Err(ArchiveError::Many)));
        let twice = unpack(Path::new("p.tgz"), &tar_gz(&[("a", b"1", FILE), ("./a", b"2", FILE)]));
        assert!(matches!(twice, Err(ArchiveError::Twice(_))), "{twice:?}");
    }

    #[test]
    fn damage_is_told() {
        let zipped = zip(&[("a", &[7; 3000], 0o100_644)]);
        let tarred = tar_gz(&[("a", &[7; 3000], FILE)]);
        for at in [0, 10, 20, 35] {
            for (name, bytes) in [("p.zip", &zipped), ("p.tgz", &tarred)] {
                let mut cut = bytes.clone();
                cut.truncate(at);
                assert!(matches!(unpack(Path::new(name), &cut), Err(ArchiveError::Damaged(_))), "{name} {at}");
            }
        }
    }
}
