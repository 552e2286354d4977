//! A small classifier of pictures, for measuring what generated pictures show: convolutions that halve the picture four
//! times, one hidden layer, and a head for each question.
//!
//! Positions must be told apart, so the last map is flattened, not averaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::activation::silu;
use burn::tensor::{DType, Device, Tensor, TensorData};
use dc_kernels::group_norm_silu;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{SafeTensors, write_safetensors};
use crate::error::Error;
use crate::layers::{conv2d, group_norm, linear};
use crate::weights::Weights;

const FORMAT: &str = "dc-graph-classifier";
const GROUPS: usize = 8;
const EPSILON: f64 = 1e-5;

/// Sizes and answers. Travels in the metadata of the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassifierConfig {
    /// Height and width of the pictures, a multiple of 16.
    pub size: usize,
    /// Channels after each halving.
    pub widths: [usize; 4],
    /// Of the layer before the heads.
    pub hidden: usize,
    /// The answers to each question, by its name.
    pub answers: BTreeMap<String, Vec<String>>,
}

/// See the module.
#[derive(Module, Debug)]
pub struct Classifier {
    convs: Vec<Conv2d>,
    norms: Vec<GroupNorm>,
    hidden: Linear,
    heads: Vec<Linear>,
}

impl Classifier {
    /// Reads the weights `convs.0` to `convs.3`, `norms.0`, .., `hidden` and one head for each question, in the
    /// alphabetical order of their names.
    ///
    /// # Errors
    /// When the configuration makes no sense, or a tensor is missing or has another shape.
    pub fn load(w: &Weights, config: &ClassifierConfig) -> Result<Self, Error> {
        let ClassifierConfig { size, widths, hidden, answers } = config;
        if *size == 0 || size % 16 != 0 || widths.iter().any(|w| w % GROUPS != 0 || *w == 0) || *hidden == 0 {
            let message = format!("a classifier's size must be a multiple of 16 and its widths of {GROUPS}, not");
            return Err(Error::Config(format!("{message} {size} and {widths:?}")));
        }
        let mut before = 3;
        let (mut convs, mut norms) = (Vec::new(), Vec::new());
        for (i, width) in widths.iter().enumerate() {
            convs.push(conv2d(&w.at("convs").at(i), before, *width, 3, 2, 1)?);
            norms.push(group_norm(&w.at("norms").at(i), GROUPS, *width, EPSILON)?);
            before = *width;
        }
        let flat = before * (size / 16) * (size / 16);
        let heads = answers.iter().map(|(name, answers)| linear(&w.at("heads").at(name), *hidden, answers.len(), true));
        Ok(Self {
            convs,
            norms,
            hidden: linear(&w.at("hidden"), flat, *hidden, true)?,
            heads: heads.collect::<Result<_, _>>()?,
        })
    }

    /// What speaks for each answer, one tensor a question.
    ///
    /// # Shapes
    /// - pictures: `[batch, 3, size, size]` in -1..=1
    /// - result: `[batch, answers]` each
    pub fn forward(&self, pictures: Tensor<4>) -> Vec<Tensor<2>> {
        let mut x = pictures;
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = group_norm_silu(norm, conv.forward(x), None);
        }
        let [batch, channels, height, width] = x.dims();
        let hidden = silu(self.hidden.forward(x.reshape([batch, channels * height * width])));
        self.heads.iter().map(|head| head.forward(hidden.clone())).collect()
    }

    /// The answers to each question, by their index.
    ///
    /// # Shapes
    /// - pictures: `[batch, 3, size, size]` in -1..=1
    /// - result: questions of `batch`
    ///
    /// # Errors
    /// When the device fails.
    pub fn classify(&self, pictures: Tensor<4>) -> Result<Vec<Vec<usize>>, Error> {
        let best = |scores: Tensor<2>| {
            let classes = scores.dims()[1];
            let data = scores.into_data().convert::<f32>();
            let values = data.as_slice::<f32>().map_err(|e| Error::Device(format!("{e:?}")))?;
            let first = |row: &[f32]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            Ok(values.chunks_exact(classes).map(first).collect())
        };
        self.forward(pictures).into_iter().map(best).collect()
    }
}

/// Writes weights and configuration to a safetensors file.
///
/// # Errors
/// Of the file system.
pub fn save_classifier(
    path: &Path,
    config: &ClassifierConfig,
    tensors: &BTreeMap<String, TensorData>,
    dtype: DType,
) -> Result<(), Error> {
    let about = serde_json::to_string(config).map_err(|e| Error::Config(e.to_string()))?;
    let metadata = BTreeMap::from([("format".to_string(), FORMAT.to_string()), ("config".to_string(), about)]);
    let shapes = tensors.iter().map(|(name, data)| (name.clone(), data.shape().to_vec())).collect();
    write_safetensors(path, &metadata, dtype, &shapes, |name, _| {
        tensors.get(name).cloned().ok_or_else(|| Error::Argument(format!("no tensor `{name}`")))
    })
}

/// Reads what [`save_classifier`] wrote, in f32.
///
/// # Errors
/// When the file is malformed or no classifier.
pub fn load_classifier(path: &Path, device: &Device) -> Result<(Classifier, ClassifierConfig), Error> {
    let file = SafeTensors::open(path)?;
    let malformed = |message: String| Error::Malformed { path: path.into(), message };
    let metadata = file.metadata();
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err(malformed(format!("not a classifier: its metadata should say `format` `{FORMAT}`")));
    }
    let about = metadata.get("config").ok_or_else(|| malformed("the metadata lacks `config`".into()))?;
    let config: ClassifierConfig =
        serde_json::from_str(about).map_err(|e| malformed(format!("`config` in the metadata: {e}")))?;
    let weights = Weights::new(Arc::new(file), device, DType::F32);
    let classifier = Classifier::load(&weights, &config)?;
    weights.finish(|_| false)?;
    Ok((classifier, config))
}
