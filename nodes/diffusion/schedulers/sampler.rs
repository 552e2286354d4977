//! The names of the samplers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A way to walk from noise to latents. All take epsilon, v and sample predictions, but PNDM no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Song et al., arXiv 2010.02502; `eta` 0 is deterministic, 1 is DDPM.
    Ddim,
    /// Liu et al., arXiv 2202.09778: linear multistep without the Runge-Kutta start. One evaluation more than steps.
    Pndm,
    /// DPM-Solver++(2M): Lu et al., arXiv 2211.01095.
    #[serde(rename = "dpmpp_2m")]
    DpmPp2m,
    /// The same on the noise levels of Karras et al., arXiv 2206.00364, equation 5.
    #[serde(rename = "dpmpp_2m_karras")]
    DpmPp2mKarras,
    /// The same with fresh noise at every step.
    #[serde(rename = "dpmpp_2m_sde_karras")]
    DpmPp2mSdeKarras,
    /// Euler's method: Karras et al., arXiv 2206.00364, algorithm 1 without churn.
    Euler,
    /// The same on Karras' noise levels.
    EulerKarras,
    /// Euler's method to below the next noise level, then noise up to it (k-diffusion's ancestral sampling).
    #[serde(rename = "euler_a")]
    EulerAncestral,
    /// Latent consistency models: Luo et al., arXiv 2310.04378. For models distilled for it.
    Lcm,
    /// UniPC, order 2, B2(h): Zhao et al., arXiv 2302.04867.
    #[serde(rename = "unipc")]
    UniPc,
}

impl Sampler {
    /// All of them, for menus and for tests.
    pub const ALL: [Self; 10] = [
        Self::Ddim,
        Self::Pndm,
        Self::DpmPp2m,
        Self::DpmPp2mKarras,
        Self::DpmPp2mSdeKarras,
        Self::Euler,
        Self::EulerKarras,
        Self::EulerAncestral,
        Self::Lcm,
        Self::UniPc,
    ];

    /// The name in graphs and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Pndm => "pndm",
            Self::DpmPp2m => "dpmpp_2m",
            Self::DpmPp2mKarras => "dpmpp_2m_karras",
            Self::DpmPp2mSdeKarras => "dpmpp_2m_sde_karras",
            Self::Euler => "euler",
            Self::EulerKarras => "euler_karras",
            Self::EulerAncestral => "euler_a",
            Self::Lcm => "lcm",
            Self::UniPc => "unipc",
        }
    }

    /// Whether the steps lead from noise level to noise level (`sigmas` in diffusers) instead of by timesteps.
    pub(super) fn counts_in_ratios(self) -> bool {
        !matches!(self, Self::Ddim | Self::Pndm | Self::Lcm)
    }

    /// Whether samples are `x0 + sigma noise` instead of having unit variance.
    pub(super) fn is_variance_exploding(self) -> bool {
        matches!(self, Self::Euler | Self::EulerKarras | Self::EulerAncestral)
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|sampler| sampler.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(|sampler| format!("`{sampler}`")).join(", ");
            Error::Argument(format!("there is no sampler `{name}`, only {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for sampler in Sampler::ALL {
            assert_eq!(sampler.name().parse::<Sampler>().unwrap(), sampler);
            assert_eq!(serde_json::to_string(&sampler).unwrap(), format!("\"{sampler}\""));
        }
        assert!("heun".parse::<Sampler>().unwrap_err().to_string().contains("`unipc`"));
    }
}
