//! What a CompVis file holds besides the model.

use super::Structure;

/// Buffers of the training schedule, which follow from its four numbers.
const SCHEDULE: [&str; 14] = [
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
    "scale_factor",
];

/// Why a tensor that no component reads is left alone; nothing when it is unknown.
pub(in crate::checkpoint) fn unused_reason(name: &str, structure: &Structure) -> Option<&'static str> {
    let open_clip = name.strip_prefix("cond_stage_model.model.");
    let cut = format!("transformer.resblocks.{}.", structure.text.num_hidden_layers);
    if SCHEDULE.contains(&name) || name == "lvlb_weights" || name == "model.lvlb_weights" {
        return Some("a constant of the training schedule");
    }
    if name.starts_with("model_ema.") {
        return Some("the averaged denoiser of training, beside the one that is read");
    }
    if name.starts_with("first_stage_model.loss.") {
        return Some("the autoencoder's training loss");
    }
    if name.ends_with("embeddings.position_ids") || open_clip == Some("attn_mask") {
        return Some("a buffer that follows from the number of positions");
    }
    match open_clip {
        Some("logit_scale" | "text_projection") => Some("of CLIP's comparison of texts with pictures"),
        Some(rest) if rest.starts_with(&cut) => Some("the last text layer, which Stable Diffusion 2.x does not use"),
        _ => None,
    }
}
