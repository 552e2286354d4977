//! Where a user keeps plugins, what was granted to them, and what is made from them.

use std::ffi::OsString;
use std::path::PathBuf;

/// The program's folders in a user's home, after the XDG base directory specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What a user installs: `~/.local/share/dc-graph`.
    pub data: PathBuf,
    /// What a user decides: `~/.config/dc-graph`.
    pub config: PathBuf,
    /// What can be made again: `~/.cache/dc-graph`.
    pub cache: PathBuf,
}

impl Places {
    /// The folders that environment variables name: `XDG_DATA_HOME`, `XDG_CONFIG_HOME` and `XDG_CACHE_HOME`, else folders in
    /// `HOME` or `USERPROFILE`. None without any of them. `variable` looks one up.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").or_else(|| absolute("USERPROFILE"));
        let place = |name: &str, in_home: &str| {
            let folder = absolute(name).or_else(|| Some(home.as_ref()?.join(in_home)))?;
            Some(folder.join("dc-graph"))
        };
        Some(Self {
            data: place("XDG_DATA_HOME", ".local/share")?,
            config: place("XDG_CONFIG_HOME", ".config")?,
            cache: place("XDG_CACHE_HOME", ".cache")?,
        })
    }

    /// Installed plugins, a folder each.
    pub fn plugins(&self) -> PathBuf {
        self.data.join("plugins")
    }

    /// What was granted to plugins.
    pub fn grants(&self) -> PathBuf {
        self.config.join("plugin-grants.json")
    }

    /// The most that plugins may ask for: a TOML file with the keys of a manifest's `[limits]` table.
    pub fn ceiling(&self) -> PathBuf {
        self.config.join("plugin-limits.toml")
    }

    /// Compiled plugins.
    pub fn compiled(&self) -> PathBuf {
        self.cache.join("plugins")
    }

    /// The secret that compiled plugins are sealed with.
    pub fn seal(&self) -> PathBuf {
        self.data.join("plugin-seal.key")
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_environment() {
        let places = |variables: &[(&str, &str)]| {
            Places::from_environment(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(places(&[]), None);
        let home = places(&[("HOME", "/home/a")]).unwrap();
        assert_eq!(home.plugins(), PathBuf::from("/home/a/.local/share/dc-graph/plugins"));
        assert_eq!(home.grants(), PathBuf::from("/home/a/.config/dc-graph/plugin-grants.json"));
        let moved = places(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/data"), ("XDG_CACHE_HOME", "relative")]).unwrap();
        assert_eq!(moved.data, PathBuf::from("/data/dc-graph"));
        assert_eq!(moved.cache, PathBuf::from("/home/a/.cache/dc-graph"), "a relative path is to be ignored");
    }
}
