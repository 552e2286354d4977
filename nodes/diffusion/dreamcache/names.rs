//! What the adapters' tensors are called.
//!
//! | here, under `<diffusers name>.` | as released, under `diffusion_model.<CompVis name>.transformer_blocks.0.` |
//! | --- | --- |
//! | `norm.{weight,bias}` | `norm2_mem.{weight,bias}` |
//! | `to_q.weight` | `attn_mem.to_q.weight` |
//! | `to_k.weight` | `attn_mem.to_k.weight` |
//! | `to_v.weight` | `attn_mem.to_v.weight` |
//! | `to_out.{weight,bias}` | `attn_mem.to_out.0.{weight,bias}` |
//! | `proj.{weight,bias}` | `linear_cat.{weight,bias}` |

use crate::dreamcache::placement::CachePoint;
use crate::weights::Weights;

/// The table above.
const FIELDS: [(&str, &str); 6] = [
    ("norm", "norm2_mem"),
    ("to_q", "attn_mem.to_q"),
    ("to_k", "attn_mem.to_k"),
    ("to_v", "attn_mem.to_v"),
    ("to_out", "attn_mem.to_out.0"),
    ("proj", "linear_cat"),
];

/// Which of the two namings a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// This project's own.
    Own,
    /// That of the released checkpoints.
    Released,
}

impl Naming {
    /// The naming of the file under the cursor; this project's own where neither fits.
    pub fn detect(w: &Weights, points: &[CachePoint]) -> Self {
        let own = points.iter().any(|p| w.contains(&format!("{}.weight", Self::Own.layer(p, "to_q"))));
        let released = points.iter().any(|p| w.contains(&format!("{}.weight", Self::Released.layer(p, "to_q"))));
        if released && !own { Self::Released } else { Self::Own }
    }

    /// The name of a layer of the adapter at `point`, to which `.weight` or `.bias` is added.
    pub fn layer(self, point: &CachePoint, field: &str) -> String {
        match self {
            Self::Own => format!("{}.{field}", point.name),
            Self::Released => {
                let released = FIELDS.iter().find(|(own, _)| *own == field).map_or(field, |(_, released)| released);
                format!("diffusion_model.{}.transformer_blocks.0.{released}", point.ldm_name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dreamcache::Placement;
    use crate::unet::UNetConfig;

    #[test]
    fn released_names() {
        let points = Placement::default().points(&UNetConfig::sd21());
        let check = |point: usize, field: &str, own: &str, released: &str| {
            assert_eq!(Naming::Own.layer(&points[point], field), own);
            assert_eq!(Naming::Released.layer(&points[point], field), released);
        };
        let middle = "diffusion_model.middle_block.1.transformer_blocks.0";
        check(0, "norm", "mid_block.attentions.0.norm", &format!("{middle}.norm2_mem"));
        check(0, "proj", "mid_block.attentions.0.proj", &format!("{middle}.linear_cat"));
        let last = "diffusion_model.output_blocks.10.1.transformer_blocks.0";
        check(4, "to_out", "up_blocks.3.attentions.1.to_out", &format!("{last}.attn_mem.to_out.0"));
        check(4, "to_q", "up_blocks.3.attentions.1.to_q", &format!("{last}.attn_mem.to_q"));
    }
}
