//! What it was measured on.

use dc_graph_nodes::dc_diffusion::measure::vectors;
use serde::Serialize;

/// A machine and a build.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    /// Those that may be used.
    pub(super) threads: usize,
    /// Of the processor, as the kernels see it.
    pub(super) vectors: String,
    /// In GB.
    pub(super) memory: Option<f64>,
    pub(super) system: String,
    pub(super) version: &'static str,
    /// In whole days, as `2026-01-31`.
    pub(super) date: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok());
        let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        Self {
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            threads: threads.filter(|&n| n > 0).unwrap_or(all),
            vectors: vectors(),
            memory: line_of("/proc/meminfo", "MemTotal")
                .and_then(|line| line.split(' ').next()?.parse::<f64>().ok().map(|kilobytes| kilobytes / 1e6)),
            system: std::env::consts::OS.into(),
            version: env!("CARGO_PKG_VERSION"),
            date: date(seconds / 86_400),
        }
    }
}

/// What follows a key and a colon in one of Linux's files.
pub(super) fn line_of(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The date of a day since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
