//! What the processor has.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

use burn::tensor::DType;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V4;
use pulp::{Scalar, Simd, WithSimd};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// As [`Self::Avx512Bf16`], with registers for matrices of bfloat16s: AMX. For linear layers and convolutions.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// As [`Self::Avx512`], with products of bfloat16s: AVX512_BF16. For products of matrices that hold no more than
    /// bfloat16s; everything else on it is what it is on [`Self::Avx512`].
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// 16 values at once and 32 registers: AVX-512 F, BW, CD, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 values at once and 16 registers: AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 values at once and 32 registers.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Whatever the compiler makes of plain code.
    Portable,
}

impl Level {
    /// The levels for float32 that this processor has, best first. [`Self::Portable`] is always there.
    pub fn available() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|level| level.is_available()).collect()
    }

    /// The best level that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// The best level for products of matrices that were given in a number type.
    pub fn for_products_of(dtype: DType) -> Self {
        static BEST_OF_PAIRS: OnceLock<Level> = OnceLock::new();
        match dtype {
            DType::BF16 => *BEST_OF_PAIRS.get_or_init(|| Self::for_pairs().next().unwrap_or(Self::best())),
            _ => Self::best(),
        }
    }

    /// The levels at which this processor multiplies bfloat16s, best first.
    pub(crate) fn for_pairs() -> impl Iterator<Item = Self> {
        const ALL: &[Level] = &[
            #[cfg(target_arch = "x86_64")]
            Level::Amx,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16,
        ];
        ALL.iter().copied().filter(|level| level.is_available())
    }

    /// Whether tiles are multiplied by registers for matrices on this level, and these are there.
    pub(crate) fn has_matrix_registers(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => self.is_available(),
            _ => false,
        }
    }

    /// Whether vectors are those of [`V4`] on this level.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_of_512_bits(self) -> bool {
        matches!(self, Self::Amx | Self::Avx512Bf16 | Self::Avx512)
    }

    /// Whether tiles take their operands as pairs of bfloat16s on this level.
    pub(crate) fn takes_pairs(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx | Self::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// The level for products of float32 that belongs to one for pairs.
    pub(crate) fn of_singles(self) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx | Self::Avx512Bf16 => Self::Avx512,
            _ => self,
        }
    }

    /// About how many multiplications of a tile on this level take the time of one of float32, by the rates of its
    /// instructions.
    pub(crate) fn multiplications_at_once(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => 2,
            _ => 1,
        }
    }

    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Portable,
    ];

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512Bf16.is_available() && amx(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512.is_available() && std::arch::is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().is_some(),
            Self::Portable => true,
        }
    }

    /// Runs a function compiled for this level, or the portable one where the processor does not have it.
    pub(crate) fn run<F: WithSimd>(self, function: F) -> F::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx if let Some(simd) = V4::try_new() => {
                Simd::vectorize(simd, function)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if let Some(simd) = pulp::x86::V3::try_new() => Simd::vectorize(simd, function),
            #[cfg(target_arch = "aarch64")]
            Self::Neon if let Some(simd) = pulp::aarch64::Neon::try_new() => Simd::vectorize(simd, function),
            _ => Simd::vectorize(Scalar, function),
        }
    }

    /// Runs a function compiled for AVX512_BF16, too, where this level and the processor have it.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn run_on_pairs<F: WithSimd>(self, function: F) -> Option<F::Output> {
        let simd = V4::try_new().filter(|_| self.takes_pairs() && Self::Avx512Bf16.is_available())?;
        // SAFETY: `V4` stands for all of it but AVX512_BF16, which has just been found.
        Some(unsafe { super::values::vectorize_on_pairs(simd, function) })
    }
}

/// Whether the processor multiplies matrices of bfloat16s, and the system lets this process do so: Linux, from 5.16 on,
/// once it is asked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn amx() -> bool {
    static AMX: OnceLock<bool> = OnceLock::new();
    *AMX.get_or_init(|| {
        /// Of `asm/prctl.h`.
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        /// What the registers are to the system.
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        // Bits AMX-BF16 and AMX-TILE (Intel SDM, volume 2, CPUID).
        let bits = 1 << 22 | 1 << 24;
        let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & bits == bits;
        // SAFETY: asks for a permission, and touches no memory.
        let has = has && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } == 0;
        #[cfg(test)]
        if !has {
            crate::gemm::amx::stand_in::install();
        }
        has || cfg!(test)
    })
}

/// Only Linux is asked.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn amx() -> bool {
    false
}
