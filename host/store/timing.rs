//! How long node types took on this machine, for estimates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Store, file};

/// Observations kept of each node type.
const KEPT: usize = 24;

/// One run of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The device's class and number type, as far as the node says.
    pub device: String,
    /// Its integer and number inputs: they tell how much there was to do.
    pub numbers: BTreeMap<String, f64>,
    /// How long it took.
    pub seconds: f64,
}

/// Observations by node type, newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings(BTreeMap<String, Vec<Observation>>);

impl Timings {
    /// Adds one run.
    pub fn add(&mut self, type_name: &str, observation: Observation) {
        let all = self.0.entry(type_name.into()).or_default();
        all.push(observation);
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
    }

    /// How long a node of a type will take: the median of the runs that agree in most of the numbers, on the same device
    /// if there are any. Nothing when it never ran here.
    pub fn estimate(&self, type_name: &str, device: &str, numbers: &BTreeMap<String, f64>) -> Option<f64> {
        let all = self.0.get(type_name)?;
        let likeness = |o: &Observation| {
            let equal = numbers.iter().filter(|(name, value)| o.numbers.get(*name) == Some(value)).count();
            (o.device == device, equal)
        };
        let best = all.iter().map(likeness).max()?;
        let mut seconds: Vec<_> = all.iter().filter(|o| likeness(o) == best).map(|o| o.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }
}

impl Store {
    /// What is known.
    pub fn timings(&self) -> Timings {
        let bytes = std::fs::read(self.root().join("timings")).unwrap_or_default();
        file::unseal(&bytes).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Adds runs to what is known. Two processes that do so at once may lose some: these are estimates.
    pub fn add_timings(&self, runs: impl IntoIterator<Item = (String, Observation)>) {
        let mut runs = runs.into_iter().peekable();
        if runs.peek().is_none() {
            return;
        }
        let mut timings = self.timings();
        runs.for_each(|(type_name, observation)| timings.add(&type_name, observation));
        if let Ok(text) = serde_json::to_string(&timings) {
            self.put(&self.root().join("timings"), file::seal(&text).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::testing::store;
    use super::*;

    fn numbers(steps: f64, seed: f64) -> BTreeMap<String, f64> {
        [("steps".to_owned(), steps), ("seed".to_owned(), seed)].into()
    }

    #[test]
    fn estimates_come_from_the_likest_runs() {
        let (_folder, store) = store();
        let run = |device: &str, steps, seed, seconds| {
            ("Sample".to_owned(), Observation { device: device.into(), numbers: numbers(steps, seed), seconds })
        };
        store.add_timings([run("cpu", 10.0, 1.0, 1.0), run("cpu", 10.0, 2.0, 1.2), run("cpu", 10.0, 3.0, 1.1)]);
        store.add_timings([run("cpu", 50.0, 1.0, 5.0), run("gpu", 50.0, 1.0, 0.1)]);
        let timings = store.timings();
        for (device, steps, seed, expected) in [
            ("cpu", 10.0, 9.0, Some(1.1)),
            ("cpu", 50.0, 9.0, Some(5.0)),
            ("gpu", 10.0, 9.0, Some(0.1)),
            ("tpu", 50.0, 1.0, Some(5.0)),
        ] {
            assert_eq!(timings.estimate("Sample", device, &numbers(steps, seed)), expected, "{device} {steps} {seed}");
        }
        assert_eq!(timings.estimate("Other", "cpu", &numbers(1.0, 1.0)), None);
        let mut many = Timings::default();
        (0..100).for_each(|n| many.add("Sample", run("cpu", f64::from(n), 0.0, 0.0).1));
        assert_eq!(many.0["Sample"].len(), KEPT);
    }
}
