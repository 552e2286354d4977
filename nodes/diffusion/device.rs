//! Where tensors live and in which number type: chosen by the user, checked before anything is loaded.
//!
//! `auto` takes a real GPU when there is one, else the CPU, and never a GPU that is software: a native CPU backend is
//! faster than a rasteriser. No GPU is touched when the CPU is asked for.

#[cfg(feature = "wgpu")]
mod adapters;
mod choice;
#[cfg(feature = "gpu")]
mod kernels;
#[cfg(test)]
mod kernels_parity;
mod memory;

use std::fmt;

use burn::tensor::{DType, Device};

pub use choice::{DTypeChoice, DeviceChoice, Interface};
pub use memory::{free_bytes, room_for};

use crate::error::Error;

/// A device that this build reaches on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// How to ask for it: `cpu`, `wgpu:0`.
    pub name: String,
    /// What it calls itself, and its driver.
    pub description: String,
    /// What it is.
    pub kind: DeviceKind,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU passed into a virtual machine.
    Virtual,
    /// It does not say.
    Unknown,
    /// A GPU interface computed by the CPU (llvmpipe, lavapipe, WARP).
    Software,
    /// The processor itself.
    Cpu,
}

/// A device ready for use.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The device.
    pub device: Device,
    /// The number type of models on it.
    pub dtype: DType,
    /// For people: `cpu, f32`, `wgpu:0 (NVIDIA GeForce RTX 4090, Vulkan), f16`.
    pub label: String,
    /// What results depend on besides their inputs, for cache keys: the make of the device and the number type, but not
    /// which of several equal devices it is.
    pub class: String,
}

impl Resolved {
    /// What there is to know before the first step on a GPU: why it takes so long.
    pub fn note(&self) -> Option<&'static str> {
        // The features that keep tuning results on disk, see `Cargo.toml`.
        let kept = cfg!(any(feature = "vulkan", feature = "metal", feature = "cuda"));
        (self.device != Device::flex()).then_some(if kept {
            "the first step in each size compiles kernels and tries which are fastest, for up to minutes; both are kept on disk"
        } else {
            "the first step in each size compiles kernels and tries which are fastest, for up to minutes, in every process; \
             builds with `--features vulkan`, `metal` or `cuda` keep both"
        })
    }
}

impl DeviceEntry {
    /// Whether `auto` may take this device. It takes the first best GPU, the CPU if there is none.
    pub fn usable_by_auto(&self) -> bool {
        self.kind.rank().is_some()
    }
}

impl DeviceKind {
    /// Best first; none for what `auto` leaves alone.
    fn rank(self) -> Option<usize> {
        [Self::Discrete, Self::Integrated, Self::Virtual, Self::Cpu].iter().position(|kind| *kind == self)
    }

    /// Whether half precision is worth it.
    fn is_real_gpu(self) -> bool {
        !matches!(self, Self::Software | Self::Cpu)
    }
}

/// Every device that this build reaches on this machine: GPUs in the order of their numbers, then the CPU.
///
/// Asks the drivers, but opens no device. Not to be called while another thread opens one: the Vulkan loader does not
/// bear it.
pub fn list() -> Vec<DeviceEntry> {
    let interfaces = [Interface::Cuda, Interface::Vulkan, Interface::Metal, Interface::Wgpu];
    let built = interfaces.into_iter().filter(|interface| interface.is_built());
    built.flat_map(gpus).chain([cpu()]).collect()
}

/// Opens what was asked for and checks that it computes in the number type.
///
/// # Errors
/// When this build or this machine has no such device, it cannot be opened, or it does not compute in that type.
pub fn resolve(choice: DeviceChoice, dtype: DTypeChoice) -> Result<Resolved, Error> {
    let (entry, device) = match choice {
        DeviceChoice::Cpu => (cpu(), Device::flex()),
        DeviceChoice::Auto => {
            let entries = list();
            // There is always the CPU to take.
            match best(&entries).map(|best| (entries[best].clone(), entries[best].name.parse())) {
                Some((entry, Ok(DeviceChoice::Gpu(interface, Some(index))))) => (entry, open(interface, index)?),
                _ => (cpu(), Device::flex()),
            }
        }
        DeviceChoice::Gpu(interface, index) => {
            if !interface.is_built() {
                return Err(Error::Device(format!(
                    "this build has no `{interface}`; build it with `--features {interface}`, or take another device"
                )));
            }
            let mut entries = gpus(interface);
            let index = index.or_else(|| best(&entries)).unwrap_or(0);
            if index >= entries.len() {
                return Err(Error::Device(match entries.len() {
                    0 => {
                        format!("`{interface}` finds no device here; is a driver installed? the device `cpu` is there")
                    }
                    n => format!("there is no `{interface}:{index}`; `{interface}` has {n} here, counted from 0"),
                }));
            }
            (entries.swap_remove(index), open(interface, index)?)
        }
    };
    let dtype = number_type(dtype, &entry, &device)?;
    let number = dtype_name(dtype);
    let interface = entry.name.split(':').next().unwrap_or_default();
    let (label, class) = match entry.kind {
        DeviceKind::Cpu => (format!("{}, {number}", entry.name), format!("{interface} {number}")),
        _ => (
            format!("{} ({}), {number}", entry.name, entry.description),
            format!("{interface} {} {number}", entry.description),
        ),
    };
    Ok(Resolved { device, dtype, label, class })
}

fn cpu() -> DeviceEntry {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let description = format!("{} with {threads} threads", std::env::consts::ARCH);
    DeviceEntry { name: "cpu".into(), description, kind: DeviceKind::Cpu }
}

/// The index of the device to take when none was named: a real GPU, then the CPU, software only when there is no other.
fn best(entries: &[DeviceEntry]) -> Option<usize> {
    (0..entries.len()).min_by_key(|i| entries[*i].kind.rank().unwrap_or(usize::MAX))
}

fn number_type(choice: DTypeChoice, entry: &DeviceEntry, device: &Device) -> Result<DType, Error> {
    let dtype = match choice {
        DTypeChoice::Auto if entry.kind.is_real_gpu() && device.supports_dtype(DType::F16) => DType::F16,
        DTypeChoice::Auto | DTypeChoice::F32 => DType::F32,
        DTypeChoice::F16 => DType::F16,
        DTypeChoice::Bf16 => DType::BF16,
    };
    if device.supports_dtype(dtype) {
        return Ok(dtype);
    }
    let (name, other) = (dtype_name(dtype), if dtype == DType::BF16 { "`f16` or `f32`" } else { "`f32`" });
    Err(Error::Device(format!("`{}` ({}) does not compute in `{name}`; take {other}", entry.name, entry.description)))
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

/// The GPUs of an interface, in the order of their numbers.
fn gpus(interface: Interface) -> Vec<DeviceEntry> {
    match interface {
        #[cfg(feature = "wgpu")]
        Interface::Wgpu | Interface::Vulkan | Interface::Metal => {
            adapters::adapters(interface).iter().enumerate().map(|(n, adapter)| adapter.entry(interface, n)).collect()
        }
        #[cfg(feature = "cuda")]
        Interface::Cuda => {
            let count = Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().len();
            let entry = |n| DeviceEntry {
                name: format!("cuda:{n}"),
                description: "NVIDIA GPU, CUDA".into(),
                kind: DeviceKind::Discrete,
            };
            (0..count).map(entry).collect()
        }
        #[allow(unreachable_patterns)] // with all features
        _ => Vec::new(),
    }
}

/// How many kernels of GPUs this process has compiled so far: what the first step in each size waits for. Kernels found on
/// disk are not counted, nor any where the program has set a logger of its own.
pub fn compiled_kernels() -> usize {
    #[cfg(feature = "gpu")]
    return kernels::compiled();
    #[cfg(not(feature = "gpu"))]
    0
}

/// Opens a device that [`gpus`] listed.
fn open(interface: Interface, index: usize) -> Result<Device, Error> {
    #[cfg(feature = "gpu")]
    kernels::prepare();
    match interface {
        #[cfg(feature = "wgpu")]
        Interface::Wgpu | Interface::Vulkan | Interface::Metal => adapters::open(interface, index),
        #[cfg(feature = "cuda")]
        Interface::Cuda => Ok(Device::cuda(index)),
        #[allow(unreachable_patterns)] // with all features
        _ => Err(Error::Device(format!("there is no `{interface}:{index}`"))),
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Unknown => "unknown",
            Self::Software => "software",
            Self::Cpu => "CPU",
        })
    }
}

/// Does work of many kernels one after another: on the CPU on a thread of their pool. From any other thread, each of them
/// hands itself over to that pool and has to be woken up afterwards, which takes longer than many a kernel of a small
/// model. On a GPU the thread stays the same, on which Burn's queue depends.
///
/// The work must hold no lock: while it waits for a kernel's other half, its thread may take up other work.
pub(crate) fn on_worker<T: Send>(device: &Device, work: impl FnOnce() -> T + Send) -> T {
    if *device == Device::flex() { rayon::scope(|_| work()) } else { work() }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{EmbeddingConfig, GroupNormConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
    use burn::tensor::activation::{gelu, sigmoid, silu};
    use burn::tensor::module::{attention, interpolate};
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::testing::{input, values};

    #[test]
    fn auto_prefers_real_gpus_and_leaves_software_alone() {
        use DeviceKind::{Cpu, Discrete, Integrated, Software, Unknown, Virtual};
        let check = |kinds: &[DeviceKind], expected: Option<usize>| {
            let entry =
                |kind: &DeviceKind| DeviceEntry { name: String::new(), description: String::new(), kind: *kind };
            assert_eq!(best(&kinds.iter().map(entry).collect::<Vec<_>>()), expected, "{kinds:?}");
        };
        check(&[Software, Cpu], Some(1));
        check(&[Unknown, Cpu], Some(1));
        check(&[Software, Integrated, Discrete, Discrete, Cpu], Some(2));
        check(&[Virtual, Integrated, Cpu], Some(1));
        check(&[Cpu], Some(0));
        // Asked for by its interface, software is better than nothing.
        check(&[Software], Some(0));
        check(&[], None);
    }

    /// One test, because drivers are asked and devices opened: see [`list`].
    #[test]
    fn opens_what_is_there_and_says_what_is_not() {
        // The runtime's own instance first, where other tests use a GPU.
        let _ = values(&Tensor::<1>::zeros([1], &crate::testing::device()));
        let entries = list();
        let (cpu, gpus) = entries.split_last().unwrap();
        assert_eq!((cpu.name.as_str(), cpu.kind, cpu.usable_by_auto()), ("cpu", DeviceKind::Cpu, true));
        let cpu = resolve(DeviceChoice::Cpu, DTypeChoice::Auto).unwrap();
        assert_eq!((cpu.label.as_str(), cpu.class.as_str(), cpu.dtype), ("cpu, f32", "cpu f32", DType::F32));
        assert_eq!(cpu.note(), None);
        assert_eq!(resolve(DeviceChoice::Cpu, DTypeChoice::Bf16).unwrap().class, "cpu bf16");

        for entry in gpus {
            // Twice: the second time the device is open already.
            for _ in 0..2 {
                let gpu = resolve(entry.name.parse().unwrap(), DTypeChoice::F32).unwrap();
                assert!(gpu.label.starts_with(&entry.name) && gpu.class.ends_with("f32"), "{}", gpu.label);
                assert!(gpu.note().is_some_and(|note| note.contains("first step")));
                assert_eq!(values(&Tensor::<1>::ones([3], &gpu.device).mul_scalar(2.0)), [2.0; 3]);
                // The runtime tells it from another thread.
                let told = (0..200).any(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    compiled_kernels() > 0
                });
                assert!(told, "{} compiled no kernel", entry.name);
            }
            for (choice, dtype) in [(DTypeChoice::F16, DType::F16), (DTypeChoice::Bf16, DType::BF16)] {
                match resolve(entry.name.parse().unwrap(), choice) {
                    Ok(gpu) => assert_eq!(gpu.dtype, dtype),
                    Err(e) => assert!(e.to_string().contains(&format!("does not compute in `{choice}`")), "{e}"),
                }
            }
        }
        let auto = resolve(DeviceChoice::Auto, DTypeChoice::Auto).unwrap();
        assert_eq!(auto.device == Device::flex(), !gpus.iter().any(DeviceEntry::usable_by_auto), "{}", auto.label);

        for interface in Interface::ALL {
            let message = resolve(DeviceChoice::Gpu(interface, Some(999)), DTypeChoice::Auto).unwrap_err().to_string();
            let expected = match (interface.is_built(), super::gpus(interface).len()) {
                (false, _) => format!("`--features {interface}`"),
                (true, 0) => "is a driver installed?".into(),
                (true, n) => format!("has {n} here"),
            };
            assert!(message.contains(&expected), "{message}");
        }
    }

    /// The CPU backend computes every operation of the models in half precision too.
    #[test]
    fn the_cpu_computes_in_half_precision() {
        let device = Device::flex();
        let mut conv = Conv2dConfig::new([32, 32], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&device);
        conv.weight = Param::from_tensor(input("conv", [32, 32, 3, 3], 0.2).to_device(&device));
        conv.bias = Some(Param::from_tensor(input("conv bias", [32], 0.2).to_device(&device)));
        let mut linear = LinearConfig::new(32, 32).with_bias(false).init(&device);
        linear.weight = Param::from_tensor(input("linear", [32, 32], 0.3).to_device(&device));
        let mut embedding = EmbeddingConfig::new(16, 32).init(&device);
        embedding.weight = Param::from_tensor(input("embedding", [16, 32], 1.0).to_device(&device));
        let group_norm = GroupNormConfig::new(8, 32).init(&device);
        let layer_norm = LayerNormConfig::new(32).init(&device);

        let run = |dtype: DType| {
            let cast = |p: Param<Tensor<2>>| Param::from_tensor(p.val().cast(dtype));
            let (mut conv, mut linear, mut embedding) = (conv.clone(), linear.clone(), embedding.clone());
            conv.weight = Param::from_tensor(conv.weight.val().cast(dtype));
            conv.bias = conv.bias.map(|b| Param::from_tensor(b.val().cast(dtype)));
            linear.weight = cast(linear.weight);
            embedding.weight = cast(embedding.weight);
            let (mut group_norm, mut layer_norm) = (group_norm.clone(), layer_norm.clone());
            group_norm.gamma = group_norm.gamma.map(|g| Param::from_tensor(g.val().cast(dtype)));
            group_norm.beta = group_norm.beta.map(|b| Param::from_tensor(b.val().cast(dtype)));
            layer_norm.gamma = Param::from_tensor(layer_norm.gamma.val().cast(dtype));
            layer_norm.beta = layer_norm.beta.map(|b| Param::from_tensor(b.val().cast(dtype)));

            let x: Tensor<4> = input("x", [2, 32, 8, 8], 1.7).to_device(&device).cast(dtype);
            let x = silu(group_norm.forward(conv.forward(x)));
            let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([8, 8]);
            let x = interpolate(x, options).narrow(2, 2, 4);
            let tokens = x.reshape([2, 32, 32]).swap_dims(1, 2);
            let ids = Tensor::from_data(TensorData::new((0..8_i64).collect::<Vec<_>>(), [1, 8]), &device);
            let tokens = Tensor::cat(vec![tokens, embedding.forward(ids).repeat(&[2, 1, 1])], 1);
            let tokens = gelu(linear.forward(layer_norm.forward(tokens)));
            let tokens = tokens.clone() * sigmoid(tokens.mul_scalar(1.702)) + 0.1;
            let heads = tokens.reshape([2, 40, 4, 8]).swap_dims(1, 2);
            let out = attention(heads.clone(), heads.clone(), heads, None, None, Default::default());
            assert_eq!(out.dtype(), dtype);
            values(&out.exp().clamp(0.0, 10.0))
        };
        let expected = run(DType::F32);
        // Found: 4.0e-3 and 2.4e-2, 8 and 6 roundings.
        for (dtype, rounding) in [(DType::F16, 2f32.powi(-11)), (DType::BF16, 2f32.powi(-8))] {
            let tolerance = 16.0 * rounding;
            assert!(device.supports_dtype(dtype));
            let found = run(dtype);
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
            eprintln!("{dtype:?}: largest relative difference {worst:e}");
            assert!(worst < tolerance && worst > 0.0, "{dtype:?}: {worst:e}");
        }
    }
}
