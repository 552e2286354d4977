//! Weights spread over several files, listed by an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::TensorData;
use serde::Deserialize;

use super::mapped::{malformed, quoted};
use super::open_file;
use crate::error::Error;
use crate::weights::{TensorInfo, TensorSource, missing};

/// `*.safetensors.index.json` or `*.bin.index.json` and the files it names.
pub(super) struct Shards {
    index: PathBuf,
    shards: Vec<Arc<dyn TensorSource>>,
    holder: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, in order.
pub(super) fn shard_files(index: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut names: Vec<_> = read_index(index)?.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    Ok(names.iter().map(|name| index.with_file_name(name)).collect())
}

fn read_index(index: &Path) -> Result<Index, Error> {
    let parsed: Index = super::read_json(index)?;
    // A shard lies beside its index; anything else would let a download read files elsewhere.
    let strays = |name: &&String| Path::new(name.as_str()).file_name().is_none_or(|file| file != name.as_str());
    if let Some(name) = parsed.weight_map.values().find(strays) {
        return Err(malformed(index, format!("the shard {} is not a file beside the index", quoted(name))));
    }
    Ok(parsed)
}

impl Shards {
    pub(super) fn open(index: &Path) -> Result<Self, Error> {
        let files = shard_files(index)?;
        let shards = files.iter().map(|file| open_file(file)).collect::<Result<Vec<_>, _>>()?;
        let mut holder = BTreeMap::new();
        for (i, shard) in shards.iter().enumerate() {
            for name in shard.names() {
                if let Some(other) = holder.insert(name.clone(), i) {
                    let (name, a, b) = (quoted(&name), shards[other].origin(), shard.origin());
                    return Err(malformed(index, format!("tensor {name} is both in {a} and in {b}")));
                }
            }
        }
        for name in read_index(index)?.weight_map.keys() {
            if !holder.contains_key(name) {
                return Err(malformed(index, format!("tensor {} is in none of the shards", quoted(name))));
            }
        }
        Ok(Self { index: index.to_path_buf(), shards, holder })
    }

    fn shard(&self, name: &str) -> Option<&dyn TensorSource> {
        self.holder.get(name).map(|i| &*self.shards[*i])
    }
}

impl TensorSource for Shards {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        self.shard(name).ok_or_else(|| missing(self, name))?.read(name, shape)
    }

    fn names(&self) -> Vec<String> {
        self.holder.keys().cloned().collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.holder.contains_key(name)
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.shard(name)?.info(name)
    }

    fn origin(&self) -> String {
        self.index.display().to_string()
    }
}
