//! A base model's files, opened and described, with nothing read yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Device, TensorData};
use serde::{Deserialize, Serialize};

use super::compvis::{Relaid, Structure, is_compvis, text_places, unet_places, unused_reason, vae_places};
use super::mapped::malformed;
use super::{Family, Random, diffusers, is_pocket, open_file, pocket, quoted};
use crate::error::Error;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::text::{ClipTextConfig, ClipTextModel};
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;
use crate::weights::{TensorSource, Weights};

/// What a path turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder in the layout of diffusers.
    DiffusersFolder,
    /// A single file in the layout of the CompVis and Stability repositories.
    CompvisFile,
    /// Weights made from their names: `random:...`.
    Random,
    /// The model inside the program: `pocket`.
    BuiltIn,
    /// Conditioning adapters.
    Adapters,
    /// A reference cache.
    ReferenceCache,
    /// A file of tensors that means nothing to this crate.
    Unknown,
}

/// One network: its configuration and where its tensors are.
pub struct Component<C> {
    /// Its structure.
    pub config: C,
    /// Its tensors, under the names of diffusers and transformers.
    pub source: Arc<dyn TensorSource>,
}

/// Where a base model's tokenizer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerFiles {
    /// It brings none: CLIP's.
    Clip,
    /// In a folder.
    Folder(PathBuf),
    /// The text of a `tokenizer.json` inside the program.
    BuiltIn(&'static str),
}

/// A base model's files, opened: configurations, and sources of tensors that nobody has read yet.
pub struct Checkpoint {
    /// In what form it came.
    pub kind: Kind,
    /// Its path or scheme.
    pub origin: String,
    /// Which family it belongs to.
    pub family: Family,
    /// The denoiser.
    pub unet: Component<UNetConfig>,
    /// The autoencoder.
    pub vae: Component<VaeConfig>,
    /// The text encoder.
    pub text: Component<ClipTextConfig>,
    /// How it was trained to denoise.
    pub scheduler: SchedulerConfig,
    /// Where its tokenizer is.
    pub tokenizer: TokenizerFiles,
    /// Names in [`files`](Self::files) are digested relative to this.
    pub(super) digest_root: PathBuf,
    /// Every file it is read from, sorted.
    pub files: Vec<PathBuf>,
    /// Tensors that belong to no component, each with the reason why that is right.
    pub unused: Vec<(String, &'static str)>,
    /// What a user should know, such as a guess that was made.
    pub notes: Vec<String>,
}

/// Opens a base model: a diffusers folder, a CompVis file (`.safetensors`, `.ckpt`), `pocket`, or `random:...`.
///
/// `prediction_type` overrides what the model says of itself. A CompVis file says nothing: without it, epsilon is
/// assumed, and a note says so where that could be wrong.
///
/// # Errors
/// When the path is no model, or one of another architecture.
pub fn open(path: &str, prediction_type: Option<PredictionType>) -> Result<Checkpoint, Error> {
    let mut checkpoint = match Random::from_scheme(path)? {
        Some(random) => random.checkpoint(),
        None if is_pocket(path) => pocket::open()?,
        None if Path::new(path).is_dir() => diffusers::open(Path::new(path))?,
        None => compvis(Path::new(path))?,
    };
    let guessed = checkpoint.kind == Kind::CompvisFile && checkpoint.family == Family::Sd2;
    match prediction_type {
        Some(prediction_type) => checkpoint.scheduler.prediction_type = prediction_type,
        None if guessed => checkpoint.notes.push(
            "a single file of Stable Diffusion 2.x does not tell whether it predicts epsilon (512-base) or \
             v_prediction (768-v); epsilon is assumed: set the prediction type if pictures come out as noise"
                .into(),
        ),
        None => {}
    }
    if checkpoint.unet.config.in_channels != checkpoint.vae.config.latent_channels {
        let (unet, vae) = (checkpoint.unet.config.in_channels, checkpoint.vae.config.latent_channels);
        return Err(Error::Mismatch {
            origin: checkpoint.origin,
            message: format!(
                "the denoiser takes {unet} channels, latents have {vae}: inpainting and depth models are not supported"
            ),
        });
    }
    Ok(checkpoint)
}

/// Every file that [`open`] and the models built from it read; none for `pocket` and `random:...`. Reads no weights.
///
/// # Errors
/// When there is no such file, or a folder is not a model.
pub fn files(path: &str) -> Result<Vec<PathBuf>, Error> {
    if Random::from_scheme(path)?.is_some() || is_pocket(path) {
        return Ok(Vec::new());
    }
    let path = Path::new(path);
    let about = std::fs::metadata(path).map_err(|source| Error::File { path: path.to_path_buf(), source })?;
    if about.is_dir() { diffusers::files(path) } else { Ok(vec![path.to_path_buf()]) }
}

fn compvis(path: &Path) -> Result<Checkpoint, Error> {
    let source = open_file(path)?;
    if !is_compvis(&*source) {
        let what = "not a base model: no tensor `model.diffusion_model.input_blocks.0.0.weight`";
        return Err(malformed(path, what));
    }
    let structure = Structure::of(&*source)?;
    let unet = Relaid::new(source.clone(), unet_places(&structure.unet));
    let vae = Relaid::new(source.clone(), vae_places(&structure.vae));
    let text = Relaid::new(source.clone(), text_places(structure.family, &structure.text));
    let read: std::collections::HashSet<_> = [&unet, &vae, &text].into_iter().flat_map(Relaid::compvis_names).collect();
    let mut unused = Vec::new();
    let mut unknown = Vec::new();
    for name in source.names().into_iter().filter(|name| !read.contains(name.as_str())) {
        match unused_reason(&name, &structure) {
            Some(reason) => unused.push((name, reason)),
            None => unknown.push(name),
        }
    }
    refuse_unknown(&source.origin(), &unknown)?;
    Ok(Checkpoint {
        kind: Kind::CompvisFile,
        origin: path.display().to_string(),
        family: structure.family,
        scheduler: SchedulerConfig::stable_diffusion(PredictionType::Epsilon),
        tokenizer: TokenizerFiles::Clip,
        digest_root: path.parent().unwrap_or(path).to_path_buf(),
        files: vec![path.to_path_buf()],
        unet: Component { config: structure.unet, source: Arc::new(unet) },
        vae: Component { config: structure.vae, source: Arc::new(vae) },
        text: Component { config: structure.text, source: Arc::new(text) },
        unused,
        notes: Vec::new(),
    })
}

fn refuse_unknown(origin: &str, unknown: &[String]) -> Result<(), Error> {
    if unknown.is_empty() {
        return Ok(());
    }
    let message = format!("{} tensors that the model does not have: {}", unknown.len(), some(unknown));
    Err(Error::Mismatch { origin: origin.into(), message })
}

/// A few names for a message, and how many more there are.
fn some(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(8).map(|name| quoted(name)).collect();
    let more = names.len().saturating_sub(shown.len());
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// How a component's tensors compare with what its configuration asks for. From headers alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Number of parameters that the model has.
    pub parameters: u64,
    /// Asked for and not there.
    pub missing: Vec<String>,
    /// There with another shape, and how.
    pub misshapen: Vec<String>,
    /// There, not asked for, and unknown.
    pub unknown: Vec<String>,
    /// There and not asked for, with the reason.
    pub unused: BTreeMap<String, String>,
}

impl Account {
    fn new(source: &dyn TensorSource, asked: &BTreeMap<String, Vec<usize>>) -> Self {
        let mut account = Self::default();
        for (name, shape) in asked {
            account.parameters += shape.iter().map(|extent| *extent as u64).product::<u64>();
            match source.info(name) {
                Some(info) if info.shape == *shape => {}
                Some(info) => {
                    account.misshapen.push(format!("`{name}` should have the shape {shape:?}, found {:?}", info.shape));
                }
                None if source.contains(name) => {}
                None => account.missing.push(name.clone()),
            }
        }
        for name in source.names().into_iter().filter(|name| !asked.contains_key(name)) {
            match text_buffer(&name) {
                Some(reason) => drop(account.unused.insert(name, reason.into())),
                None => account.unknown.push(name),
            }
        }
        account
    }

    /// Whether a load would succeed, as far as headers tell.
    ///
    /// # Errors
    /// Names what is missing, of another shape, or too much.
    pub fn check(&self, origin: &str) -> Result<(), Error> {
        let mut problems = Vec::new();
        if !self.missing.is_empty() {
            problems.push(format!("{} tensors are missing: {}", self.missing.len(), some(&self.missing)));
        }
        problems.extend(self.misshapen.iter().take(8).map(|what| format!("tensor {what}")));
        if !self.unknown.is_empty() {
            let (count, names) = (self.unknown.len(), some(&self.unknown));
            problems.push(format!("{count} tensors that the model does not have: {names}"));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::Mismatch { origin: origin.into(), message: problems.join("; ") })
    }
}

/// Why a tensor beside those of a model is left alone.
pub(super) fn text_buffer(name: &str) -> Option<&'static str> {
    if ClipTextModel::is_buffer(name) {
        return Some("a buffer that follows from the number of positions");
    }
    (name == "text_projection.weight").then_some("of CLIP's comparison of texts with pictures")
}

impl<C> Component<C> {
    /// The names and shapes of the tensors that its model consists of. `load` is that of the model: `UNet::load`.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's.
    pub fn shapes<M>(
        &self,
        load: impl FnOnce(&Weights, &C) -> Result<M, Error>,
    ) -> Result<BTreeMap<String, Vec<usize>>, Error> {
        let weights = Weights::dry(self.source.clone(), &Device::flex());
        load(&weights, &self.config)?;
        Ok(weights.asked())
    }

    /// Every tensor of its model, as it is stored.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's, and of the files.
    pub fn tensors<M>(
        &self,
        load: impl FnOnce(&Weights, &C) -> Result<M, Error>,
    ) -> Result<BTreeMap<String, TensorData>, Error> {
        let shapes = self.shapes(load)?;
        shapes.into_iter().map(|(name, shape)| Ok((name.clone(), self.source.read(&name, &shape)?))).collect()
    }

    /// What its model consists of compared with what its source has. Reads no weights.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's.
    pub fn account<M>(&self, load: impl FnOnce(&Weights, &C) -> Result<M, Error>) -> Result<Account, Error> {
        Ok(Account::new(&*self.source, &self.shapes(load)?))
    }

    /// Reads its model to `device`, after all differences were looked for.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's, or the tensors are not those it asks for, or not finite.
    pub fn load<M>(
        &self,
        load: impl Fn(&Weights, &C) -> Result<M, Error>,
        device: &Device,
        dtype: DType,
    ) -> Result<M, Error> {
        self.account(&load)?.check(&self.source.origin())?;
        load(&Weights::new(self.source.clone(), device, dtype), &self.config)
    }
}
