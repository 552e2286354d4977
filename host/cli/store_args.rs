//! Which store a command works with.

use std::path::PathBuf;

use anyhow::{Context, bail};
use dc_graph::registry::Registry;
use dc_graph::store::{Store, default_location};

/// What earlier runs computed.
#[derive(clap::Args)]
pub(crate) struct StoreArgs {
    /// The folder of the store, which keeps what runs compute [default: $DC_GRAPH_STORE, else dc-graph/store in the
    /// user's folder of caches]
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    /// How large the store may grow, such as 500MB or 20GB [default: $DC_GRAPH_STORE_LIMIT, else 20GB]
    #[arg(long, value_name = "SIZE", value_parser = size, global = true)]
    store_limit: Option<u64>,
}

impl StoreArgs {
    /// Opens it.
    pub(crate) fn open(&self, registry: &Registry) -> anyhow::Result<Store> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let named = self.store.clone().or_else(|| set("DC_GRAPH_STORE").map(PathBuf::from));
        let Some(folder) = named.or_else(default_location) else {
            bail!("there is no folder for caches here; name one with `--store`, or do without with `--no-store`");
        };
        let limit = match (self.store_limit, set("DC_GRAPH_STORE_LIMIT")) {
            (Some(limit), _) => Some(limit),
            (None, Some(text)) => {
                let limit = size(&text.to_string_lossy()).map_err(anyhow::Error::msg);
                Some(limit.context("`DC_GRAPH_STORE_LIMIT` is no size")?)
            }
            (None, None) => None,
        };
        Store::open(&folder, limit, registry.decoders().clone()).map_err(|error| {
            let hint = error.hint();
            anyhow::anyhow!("{error}\nhint: {hint}")
        })
    }
}

/// Bytes, perhaps as multiples of 1000 (kB, MB, GB, TB).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let units = [("kB", 3), ("KB", 3), ("MB", 6), ("GB", 9), ("TB", 12), ("B", 0), ("", 0)];
    let split = units.into_iter().find_map(|(unit, power)| Some((text.strip_suffix(unit)?.trim(), power)));
    let (number, power) = split.unwrap_or((text, 0));
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((number * 10_f64.powi(power)) as u64),
        _ => Err("expected a size such as 500MB or 20GB".into()),
    }
}

/// Bytes as people say them.
pub(crate) fn shown(bytes: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.into_iter().find(|(_, size)| bytes as f64 >= *size);
    unit.map_or(format!("{bytes} B"), |(unit, size)| format!("{:.1} {unit}", bytes as f64 / size))
}
