//! How devices and number types are named on the command line.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// What the user asks for: `auto`, `cpu`, or an interface to GPUs, `wgpu` or `wgpu:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best real GPU, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU: the nth that the interface has in [`list`](super::list), without a number the best.
    Gpu(Interface, Option<usize>),
}

/// A way to reach GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Whatever graphics interface the machine offers; the default build has it.
    Wgpu,
    /// Vulkan and nothing else.
    Vulkan,
    /// Metal and nothing else.
    Metal,
    /// CUDA.
    Cuda,
}

/// The number type that the user asks for: `auto`, `f32`, `f16` or `bf16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DTypeChoice {
    /// f16 on a real GPU that computes in it, else f32.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits, 5 of them exponent.
    F16,
    /// 16 bits, 8 of them exponent.
    Bf16,
}

impl Interface {
    pub(super) const ALL: [Self; 4] = [Self::Wgpu, Self::Vulkan, Self::Metal, Self::Cuda];

    fn name(self) -> &'static str {
        match self {
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build has it.
    pub(super) fn is_built(self) -> bool {
        match self {
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        let interface = Interface::ALL.into_iter().find(|interface| interface.name() == name);
        let index =
            index.map(|digits| if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None });
        match (name, interface, index) {
            ("auto", _, None) => Ok(Self::Auto),
            ("cpu", _, None) => Ok(Self::Cpu),
            (_, Some(interface), None) => Ok(Self::Gpu(interface, None)),
            (_, Some(interface), Some(Some(index))) => Ok(Self::Gpu(interface, Some(index))),
            _ => Err(Error::Argument(format!(
                "there is no device `{text}`; a device is `auto`, `cpu`, `wgpu`, `wgpu:0`, or likewise `vulkan`, `metal` or `cuda`"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(interface, None) => write!(f, "{interface}"),
            Self::Gpu(interface, Some(index)) => write!(f, "{interface}:{index}"),
        }
    }
}

impl FromStr for DTypeChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => {
                Err(Error::Argument(format!("there is no number type `{text}`, only `auto`, `f32`, `f16` and `bf16`")))
            }
        }
    }
}

impl fmt::Display for DTypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_and_print() {
        let gpu = |interface, index| Some(DeviceChoice::Gpu(interface, index));
        let check = |text: &str, expected: Option<DeviceChoice>| {
            let found: Result<DeviceChoice, _> = text.parse();
            match expected {
                Some(expected) => {
                    assert_eq!(found.unwrap(), expected, "{text}");
                    assert_eq!(expected.to_string(), text);
                }
                None => assert!(found.unwrap_err().to_string().contains(&format!("`{text}`"))),
            }
        };
        check("auto", Some(DeviceChoice::Auto));
        check("cpu", Some(DeviceChoice::Cpu));
        check("wgpu", gpu(Interface::Wgpu, None));
        check("wgpu:3", gpu(Interface::Wgpu, Some(3)));
        check("vulkan:0", gpu(Interface::Vulkan, Some(0)));
        check("metal", gpu(Interface::Metal, None));
        check("cuda:12", gpu(Interface::Cuda, Some(12)));
        for wrong in
            ["", "gpu", "wgpu:", "wgpu:-1", "wgpu:+1", "wgpu:x", "cpu:0", "auto:1", "wgpu:99999999999999999999"]
        {
            check(wrong, None);
        }
        for text in ["auto", "f32", "f16", "bf16"] {
            assert_eq!(text.parse::<DTypeChoice>().unwrap().to_string(), text);
        }
        assert!("f64".parse::<DTypeChoice>().unwrap_err().to_string().contains("`bf16`"));
    }
}
