//! The families of base models.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::unet::UNetConfig;

/// Models whose adapters and caches fit each other's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Stable Diffusion 1.x: OpenAI's CLIP, convolutions around the transformers.
    Sd1,
    /// Stable Diffusion 2.x: OpenCLIP, linear projections around the transformers.
    Sd2,
}

impl Family {
    /// The family that a denoiser belongs to. Its projections tell; widths differ in tiny and pruned models.
    pub fn of(unet: &UNetConfig) -> Self {
        if unet.use_linear_projection { Self::Sd2 } else { Self::Sd1 }
    }

    /// As written into files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sd1 => "sd1",
            Self::Sd2 => "sd2",
        }
    }

    /// The inverse of [`as_str`](Self::as_str).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sd1, Self::Sd2].into_iter().find(|family| family.as_str() == name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sd1 => "Stable Diffusion 1.x",
            Self::Sd2 => "Stable Diffusion 2.x",
        })
    }
}
