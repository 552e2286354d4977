//! A training run as files: its state every so many steps, the last few kept, and a log of its steps.
//!
//! ```text
//! checkpoints/step-00002000.safetensors   value, moment_1, moment_2 and average of every parameter, and the step
//! log.jsonl                               a line a step
//! ```
//!
//! The random state is the step: see [`super::draws`].

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Parameters};
use crate::checkpoint::{SafeTensors, malformed, write_atomically, write_safetensors};
use crate::error::Error;
use crate::weights::TensorSource;

const FORMAT: &str = "dc-graph training state 1";
const KINDS: [&str; 4] = ["value", "moment_1", "moment_2", "average"];

/// What is known of a step once it is done: a line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1.
    pub step: u64,
    /// Mean over the step's batches. (In f32, which survives being written as JSON and read again to the last bit.)
    pub loss: f32,
    /// Of this step.
    pub learning_rate: f32,
    /// Before clipping.
    pub gradient_norm: f32,
    /// Wall-clock time of the step.
    pub seconds: f32,
    /// What was measured on held-out triplets after the step, where it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_out: BTreeMap<String, f64>,
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = Self { root: root.to_path_buf() };
        let checkpoints = folder.checkpoints();
        fs::create_dir_all(&checkpoints).map_err(|source| Error::File { path: checkpoints, source })?;
        Ok(folder)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    fn state_file(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step:08}.safetensors"))
    }

    /// The steps of which there is a state, ascending.
    ///
    /// # Errors
    /// Of the file system.
    pub fn states(&self) -> Result<Vec<u64>, Error> {
        let path = self.checkpoints();
        let failed = |source| Error::File { path: path.clone(), source };
        let mut steps = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let step =
                name.to_str().and_then(|n| n.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<u64>().ok());
            steps.extend(step);
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a state and removes all but the last `keep`. `identity` says which run it belongs to.
    ///
    /// # Errors
    /// When a value is not finite, and of the file system.
    pub fn save(&self, parameters: &Parameters, step: u64, identity: &str, keep: usize) -> Result<(), Error> {
        let mut tensors: BTreeMap<String, &Vec<f32>> = BTreeMap::new();
        for p in &parameters.0 {
            for (kind, values) in KINDS.iter().zip(p.state()) {
                tensors.insert(format!("{kind}.{}", p.name), values);
            }
        }
        let shapes = tensors.iter().map(|(name, values)| (name.clone(), vec![values.len()])).collect();
        let metadata = [("format", FORMAT), ("step", &step.to_string()), ("run", identity)];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
        write_safetensors(&self.state_file(step), &metadata, DType::F32, &shapes, |name, shape| {
            let values = tensors.get(name).map(|values| (*values).clone()).unwrap_or_default();
            Ok(TensorData::new(values, shape.to_vec()))
        })?;
        let states = self.states()?;
        for old in states.iter().rev().skip(keep.max(1)) {
            let path = self.state_file(*old);
            fs::remove_file(&path).map_err(|source| Error::File { path, source })?;
        }
        Ok(())
    }

    /// Reads the last state into `parameters` and returns its step; 0 when there is none.
    ///
    /// # Errors
    /// When it belongs to another run or model, and of the file system.
    pub fn resume(&self, parameters: &mut Parameters, identity: &str) -> Result<u64, Error> {
        let Some(step) = self.states()?.pop() else { return Ok(0) };
        let path = self.state_file(step);
        let file = SafeTensors::open(&path)?;
        if file.metadata().get("format").is_none_or(|format| format != FORMAT) {
            return Err(malformed(&path, "not the state of a training run"));
        }
        if let Some(run) = file.metadata().get("run").filter(|run| *run != identity) {
            let advice = "a run goes on with the settings it began with; choose another folder, or remove this one";
            return Err(malformed(&path, format!("belongs to another run ({run}; now {identity}): {advice}")));
        }
        for p in &mut parameters.0 {
            let (name, len) = (p.name.clone(), p.value.len());
            for (kind, values) in KINDS.iter().zip(p.state_mut()) {
                let data = file.read(&format!("{kind}.{name}"), &[len])?;
                *values = data.try_to_vec().map_err(|error| malformed(&path, format!("`{kind}.{name}`: {error:?}")))?;
            }
        }
        Ok(step)
    }

    fn log_file(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }

    /// The log up to `step`; what a killed run logged beyond its last state is forgotten.
    ///
    /// # Errors
    /// When the log is malformed, and of the file system.
    pub fn log_until(&self, step: u64) -> Result<Vec<Record>, Error> {
        let path = self.log_file();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let failed = |source| Error::File { path: path.clone(), source };
        let mut records = Vec::new();
        for line in BufReader::new(File::open(&path).map_err(failed)?).lines() {
            // The last line of a killed run may be cut off.
            let Ok(record) = serde_json::from_str::<Record>(&line.map_err(failed)?) else { break };
            if record.step <= step {
                records.push(record);
            }
        }
        write_atomically(&path, |file| {
            for record in &records {
                writeln!(file, "{}", line(record)?).map_err(failed)?;
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// Adds a line to the log.
    ///
    /// # Errors
    /// Of the file system.
    pub fn log(&self, record: &Record) -> Result<(), Error> {
        let path = self.log_file();
        let failed = |source| Error::File { path: path.clone(), source };
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        file.write_all(format!("{}\n", line(record)?).as_bytes()).map_err(failed)
    }
}

fn line(record: &Record) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|error| Error::Argument(format!("step {}: {error}", record.step)))
}

impl Parameter {
    fn state(&self) -> [&Vec<f32>; 4] {
        [&self.value, &self.moment_1, &self.moment_2, &self.average]
    }

    fn state_mut(&mut self) -> [&mut Vec<f32>; 4] {
        [&mut self.value, &mut self.moment_1, &mut self.moment_2, &mut self.average]
    }
}
