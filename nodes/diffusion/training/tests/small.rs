//! A base model of two levels for pictures of 16 pixels, and pools of the shapes.

use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::resume;
use super::shapes::Shapes;
use crate::checkpoint::Family;
use crate::model::BaseModel;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::text::{ClipTextConfig, HiddenAct, Padding, Tokenizer, learn_tokenizer};
use crate::training::{Initial, Pool, Source, Split, TextToLatents, Triplet, Triplets};
use crate::unet::UNetConfig;
use crate::weights::{Recipe, Weights};

pub(super) struct Small {
    pub(super) base: BaseModel,
    pub(super) text_config: ClipTextConfig,
    pub(super) pool: Pool,
    pub(super) held_out: Pool,
}

impl Small {
    /// With a pool of so many triplets. The denoiser's last layer is not zero, so that what happens inside shows.
    pub(super) fn new(entries: usize) -> Self {
        let device = Device::flex();
        let words = Shapes.words();
        let (json, vocab_size) = learn_tokenizer(words.iter().map(String::as_str));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
        let text_config = ClipTextConfig {
            vocab_size,
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 1,
            num_attention_heads: 4,
            max_position_embeddings: 8,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: vocab_size as u32 - 1,
        };
        let tokenizer = Tokenizer::load(folder.path(), Padding::End).unwrap().with_length(8);
        let unet_config = UNetConfig::small(&[32, 48], 4, 8, 32);
        let weights = Weights::new(Arc::new(Recipe::new("small.")), &device, DType::F32);
        let TextToLatents { text_encoder, unet } = TextToLatents::load(&weights, &text_config, &unet_config).unwrap();
        let vae = Weights::new(Arc::new(Initial::autoencoder(1)), &device, DType::F32);
        let vae = resume::load(&vae).unwrap();
        let pool = |split, entries| {
            let source = Source { data: &Shapes, split, entries, vae: &vae, device: &device, tokenizer: &tokenizer };
            let choose = |t: Triplet, _| (vec![t.target, t.reference], t.caption);
            Pool::build(&source, 2, choose, |_, _| Ok(())).unwrap()
        };
        let (pool, held_out) = (pool(Split::Train, entries), pool(Split::HeldOut, 64));
        let base = BaseModel {
            origin: "small".into(),
            family: Family::of(&unet_config),
            digest: String::new(),
            tokenizer,
            text_encoder,
            unet,
            unet_config,
            vae,
            scheduler: SchedulerConfig::stable_diffusion(PredictionType::VPrediction),
            device,
            dtype: DType::F32,
            notes: Vec::new(),
        };
        Self { base, text_config, pool, held_out }
    }
}
