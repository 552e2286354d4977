//! What travels between the diffusion nodes. The host passes these on without looking into them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::tensor::Tensor;
use dc_diffusion::checkpoint::Family;
use dc_diffusion::dreamcache::{CacheOrigin, FoldedProjections, ProjectedCache, ReferenceCache};
use dc_diffusion::model::BaseModel;
use dc_diffusion::{Error, dreamcache};
use dc_graph_node_api::{NativeObject, NodeError, PortType, Portable};

use super::portable;

pub(crate) const MODEL: PortType = PortType::native("dc:model");
pub(crate) const CONDITIONING: PortType = PortType::native("dc:conditioning");
pub(crate) const LATENTS: PortType = PortType::native("dc:latents");
pub(crate) const REFERENCE_CACHE: PortType = PortType::native("dc:reference-cache");
pub(crate) const ADAPTERS: PortType = PortType::native("dc:adapters");

/// `dc:model`
pub(crate) struct Model(pub(crate) BaseModel);

/// `dc:conditioning`: the contexts of a prompt and of a negative prompt.
///
/// # Shapes
/// - cond, uncond: `[1, tokens, context_dim]`
pub(crate) struct Conditioning {
    pub(crate) cond: Tensor<3>,
    pub(crate) uncond: Tensor<3>,
    /// The model whose text encoder made them.
    pub(crate) model: String,
    pub(crate) prompt: String,
}

/// `dc:latents`: scaled, as the denoiser has them.
///
/// # Shapes
/// - `[batch, 4, height / 8, width / 8]`
pub(crate) struct Latents(pub(crate) Tensor<4>);

/// `dc:reference-cache`
pub(crate) struct Cache {
    pub(crate) cache: ReferenceCache,
    /// Everything the features depend on.
    pub(crate) origin: CacheOrigin,
    /// Keys and values under the adapters that were used last: they change with neither step nor prompt.
    projected: Mutex<Option<(Weak<Adapters>, Arc<ProjectedCache>)>>,
}

/// `dc:adapters`
pub(crate) struct Adapters {
    pub(crate) adapters: dreamcache::Adapters,
    /// That of the base model that they were loaded for.
    pub(crate) family: Family,
    /// Where they came from, for messages.
    pub(crate) origin: String,
    /// Their output projections folded into those of the model that they were used with last.
    folded: Mutex<Option<(Weak<Model>, Arc<FoldedProjections>)>>,
}

impl Adapters {
    pub(crate) fn new(adapters: dreamcache::Adapters, family: Family, origin: String) -> Self {
        Self { adapters, family, origin, folded: Mutex::default() }
    }

    /// Output projections folded into those of `model`, once for each pair of adapters and model.
    pub(crate) fn folded(&self, model: &Arc<Model>) -> Arc<FoldedProjections> {
        let mut last = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, folded)) = &*last
            && of.ptr_eq(&Arc::downgrade(model))
        {
            return folded.clone();
        }
        let folded = Arc::new(FoldedProjections::new(&self.adapters, &model.0.unet));
        *last = Some((Arc::downgrade(model), folded.clone()));
        folded
    }
}

impl Cache {
    pub(crate) fn new(cache: ReferenceCache, origin: CacheOrigin) -> Self {
        Self { cache, origin, projected: Mutex::default() }
    }

    /// Keys and values under `adapters`, projected once for each pair of cache and adapters.
    pub(crate) fn projected(&self, adapters: &Arc<Adapters>) -> Result<Arc<ProjectedCache>, Error> {
        let mut last = self.projected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, projected)) = &*last
            && of.ptr_eq(&Arc::downgrade(adapters))
        {
            return Ok(projected.clone());
        }
        let projected = Arc::new(ProjectedCache::new(&adapters.adapters, &self.cache)?);
        *last = Some((Arc::downgrade(adapters), projected.clone()));
        Ok(projected)
    }
}

impl Conditioning {
    /// An error when these contexts come from another model's text encoder.
    pub(crate) fn check_model(&self, model: &Model) -> Result<(), NodeError> {
        if self.model == model.0.digest {
            return Ok(());
        }
        Err(NodeError::input("conditioning", "was encoded by another model's text encoder")
            .with_hint("connect `Encode Prompt` and this node to the same `Load Model`"))
    }
}

impl NativeObject for Model {
    fn type_name(&self) -> &'static str {
        "dc:model"
    }

    fn summary(&self) -> String {
        format!("{} ({})", self.0.origin, self.0.family.as_str())
    }

    fn size_bytes(&self) -> usize {
        use burn::module::Module;
        let params = self.0.unet.num_params() + self.0.vae.num_params() + self.0.text_encoder.num_params();
        params * self.0.dtype.size()
    }
}

impl NativeObject for Conditioning {
    fn type_name(&self) -> &'static str {
        "dc:conditioning"
    }

    fn summary(&self) -> String {
        format!("`{}`", self.prompt)
    }

    fn size_bytes(&self) -> usize {
        (self.cond.shape().num_elements() + self.uncond.shape().num_elements()) * self.cond.dtype().size()
    }

    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        portable::of_conditioning(self).map(Some)
    }
}

impl NativeObject for Latents {
    fn type_name(&self) -> &'static str {
        "dc:latents"
    }

    fn summary(&self) -> String {
        format!("{:?}", self.0.dims())
    }

    fn size_bytes(&self) -> usize {
        self.0.shape().num_elements() * self.0.dtype().size()
    }

    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        portable::of_latents(self).map(Some)
    }
}

impl NativeObject for Cache {
    fn type_name(&self) -> &'static str {
        "dc:reference-cache"
    }

    fn summary(&self) -> String {
        let config = self.cache.config();
        format!("{} at timestep {}, {} values", config.placement, config.timestep, self.cache.num_values())
    }

    fn size_bytes(&self) -> usize {
        self.cache.num_values() * self.cache.features().first().map_or(4, |f| f.dtype().size())
    }

    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        portable::of_cache(self).map(Some)
    }
}

impl NativeObject for Adapters {
    fn type_name(&self) -> &'static str {
        "dc:adapters"
    }

    fn summary(&self) -> String {
        use burn::module::Module;
        format!("{}, {} parameters", self.origin, self.adapters.num_params())
    }

    fn size_bytes(&self) -> usize {
        use burn::module::Module;
        self.adapters.num_params() * self.adapters.dtype().map_or(4, |d| d.size())
    }
}

/// A fault of the models as a node's. Stopping stays stopping.
pub(crate) fn node_error(error: Error) -> NodeError {
    match error {
        Error::Cancelled => NodeError::Cancelled,
        Error::File { path, source } => NodeError::File { path, source },
        other => NodeError::failed(other.to_string()),
    }
}

/// The same, told of one input.
pub(crate) fn input_error(input: &'static str) -> impl Fn(Error) -> NodeError {
    move |error| match error {
        Error::Cancelled | Error::File { .. } => node_error(error),
        other => NodeError::input(input, other.to_string()),
    }
}
