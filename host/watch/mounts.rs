//! Which folders lie on other machines, or on file systems that tell nobody what changes on them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// File systems whose changes may come from elsewhere, after `/proc/filesystems` and their own manuals.
const ELSEWHERE: [&str; 17] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "coda",
    "lustre",
    "gpfs",
    "glusterfs",
    "ncpfs",
    "vboxsf",
    "virtiofs",
    "drvfs",
    "vmhgfs",
];

/// The mounted file systems.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    /// Those of this process; none where the system does not tell.
    pub(super) fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// The lines of `proc(5)`'s `mountinfo`: the fifth field is the place, the first one after ` - ` the type.
    fn parse(text: &str) -> Self {
        let mount = |line: &str| {
            let (front, back) = line.split_once(" - ")?;
            let place = unescaped(front.split(' ').nth(4)?);
            let kind = back.split(' ').next()?;
            let elsewhere = ELSEWHERE.contains(&kind) || kind.starts_with("fuse.");
            Some((place, elsewhere))
        };
        Self(text.lines().filter_map(mount).collect())
    }

    /// Whether a folder, named without links, lies elsewhere.
    pub(super) fn elsewhere(&self, folder: &Path) -> bool {
        // Of several file systems mounted in one place, the last one is seen.
        let around = self.0.iter().filter(|(place, _)| folder.starts_with(place));
        around.max_by_key(|(place, _)| place.components().count()).is_some_and(|(_, elsewhere)| *elsewhere)
    }
}

/// `\040` for a space, and so on.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(OsStr::from_bytes(&bytes))
    }
    #[cfg(not(unix))]
    PathBuf::from(OsStr::new(&*String::from_utf8_lossy(&bytes)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let text = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /mnt/shared\\040drive rw - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /mnt/shared\\040drive/local rw master:2 - xfs /dev/sdb1 rw
32 22 0:51 / /home/me/far rw - fuse.sshfs me@far: rw
33 22 0:52 / /over rw - ext4 /dev/sdc1 rw
34 22 0:53 / /over rw - cifs //server/share rw
";
        let mounts = Mounts::parse(text);
        for (folder, expected) in [
            ("/", false),
            ("/mnt", false),
            ("/mnt/shared drive", true),
            ("/mnt/shared drive/pictures", true),
            ("/mnt/shared drive/local/pictures", false),
            ("/home/me", false),
            ("/home/me/far/away", true),
            ("/over", true),
        ] {
            assert_eq!(mounts.elsewhere(Path::new(folder)), expected, "{folder}");
        }
        assert!(!Mounts::parse("not what was expected\n").elsewhere(Path::new("/")));
    }
}
