//! GPUs as wgpu sees them.
//!
//! The runtime chooses one graphics interface by the adapters it has and counts adapters by kind; the same is done here
//! so that a number in the list means the adapter that is opened.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use burn::tensor::Device;
use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::wgpu::{self, AdapterInfo, Backend, DeviceType, Instance, InstanceDescriptor};
use burn_wgpu::{WgpuBackend, WgpuInitError};

use super::{DeviceEntry, DeviceKind, Interface};
use crate::error::Error;

/// One GPU, and how the runtime is asked for it.
pub(super) struct Adapter {
    adapter: wgpu::Adapter,
    info: AdapterInfo,
    selector: burn::tensor::DeviceKind,
}

/// The devices that were opened, and what can be asked about each.
static OPENED: Mutex<Vec<(Device, wgpu::Adapter)>> = Mutex::new(Vec::new());

impl Adapter {
    pub(super) fn entry(&self, interface: Interface, index: usize) -> DeviceEntry {
        let kind = match self.info.device_type {
            DeviceType::DiscreteGpu => DeviceKind::Discrete,
            DeviceType::IntegratedGpu => DeviceKind::Integrated,
            DeviceType::VirtualGpu => DeviceKind::Virtual,
            DeviceType::Cpu => DeviceKind::Software,
            DeviceType::Other => DeviceKind::Unknown,
        };
        let parts = [self.info.name.trim(), &format!("{:?}", self.info.backend), self.info.driver_info.trim()];
        let description = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        DeviceEntry { name: format!("{interface}:{index}"), description, kind }
    }
}

/// The adapters of the first graphics interface with a real GPU, else of the first with anything.
pub(super) fn adapters(interface: Interface) -> Vec<Adapter> {
    let candidates = match interface {
        Interface::Vulkan => vec![Backend::Vulkan],
        Interface::Metal => vec![Backend::Metal],
        // Not OpenGL: the runtime was seen to panic on it when busy.
        Interface::Wgpu | Interface::Cuda => {
            AutoGraphicsApi::chain().into_iter().filter(|backend| *backend != Backend::Gl).collect()
        }
    };
    let mut found = Vec::new();
    for backend in candidates {
        let probed = probe(backend);
        let real = probed.iter().any(|(_, info)| info.device_type != DeviceType::Cpu);
        if real || found.is_empty() {
            found = probed;
        }
        if real {
            break;
        }
    }
    select(found)
}

/// Opens an adapter, or hands out the device that this program has opened on it before.
pub(super) fn open(interface: Interface, index: usize) -> Result<Device, Error> {
    let Some(adapter) = adapters(interface).into_iter().nth(index) else {
        return Err(Error::Device(format!("there is no `{interface}:{index}`")));
    };
    let api = match interface {
        Interface::Vulkan => WgpuBackend::Vulkan,
        Interface::Metal => WgpuBackend::Metal,
        Interface::Wgpu | Interface::Cuda => WgpuBackend::Auto,
    };
    let device = match Device::wgpu_options().device_kind(adapter.selector.clone()).graphics_api(api).init() {
        Ok(device) => device,
        Err(WgpuInitError::Registration { .. }) => match interface {
            #[cfg(feature = "vulkan")]
            Interface::Vulkan => Device::vulkan(adapter.selector),
            #[cfg(feature = "metal")]
            Interface::Metal => Device::metal(adapter.selector),
            _ => Device::wgpu(adapter.selector),
        },
        Err(e) => {
            return Err(Error::Device(format!(
                "`{interface}:{index}` ({}) could not be opened: {e}; the device `cpu` is there",
                adapter.info.name
            )));
        }
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if opened.iter().all(|(other, _)| *other != device) {
        opened.push((device.clone(), adapter.adapter));
    }
    Ok(device)
}

/// What an opened device can still give, in bytes, as far as its driver tells.
pub(super) fn free_bytes(device: &Device) -> Option<u64> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, adapter) = opened.iter().find(|(other, _)| other == device)?;
    free_in_heap(adapter)
}

/// Of the heap of the device's own memory that has most left; its size where the driver has no `VK_EXT_memory_budget`.
#[cfg(not(target_vendor = "apple"))]
fn free_in_heap(adapter: &wgpu::Adapter) -> Option<u64> {
    use ash::vk;
    // SAFETY: nothing of it is destroyed, and it is not kept.
    let adapter = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let (instance, physical) = (adapter.shared_instance(), adapter.raw_physical_device());
    let capabilities = adapter.physical_device_capabilities();
    let version = capabilities.properties().api_version.min(instance.instance_api_version());
    let has_budget = version >= vk::API_VERSION_1_1 && capabilities.supports_extension(ash::ext::memory_budget::NAME);
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let heaps = if has_budget {
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
        // SAFETY: the device is of this instance; both have the function and the extension.
        unsafe { instance.raw_instance().get_physical_device_memory_properties2(physical, &mut properties) };
        properties.memory_properties
    } else {
        // SAFETY: the device is of this instance.
        unsafe { instance.raw_instance().get_physical_device_memory_properties(physical) }
    };
    let left = heaps.memory_heaps_as_slice().iter().enumerate().map(|(i, heap)| {
        let left = if has_budget { budget.heap_budget[i].saturating_sub(budget.heap_usage[i]) } else { heap.size };
        if heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL) { left } else { 0 }
    });
    left.max()
}

/// Metal is not asked.
#[cfg(target_vendor = "apple")]
fn free_in_heap(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Numbers the adapters of each kind from 0. The runtime knows a single software adapter.
fn select(probed: Vec<(wgpu::Adapter, AdapterInfo)>) -> Vec<Adapter> {
    use burn::tensor::DeviceKind as Selector;
    let (mut discrete, mut integrated, mut virtual_, mut software) = (0, 0, 0, 0);
    let next = |count: &mut usize| {
        *count += 1;
        *count - 1
    };
    let numbered = probed.into_iter().filter_map(|(adapter, info)| {
        let selector = match info.device_type {
            DeviceType::DiscreteGpu => Selector::DiscreteGpu(next(&mut discrete)),
            DeviceType::IntegratedGpu => Selector::IntegratedGpu(next(&mut integrated)),
            DeviceType::VirtualGpu => Selector::VirtualGpu(next(&mut virtual_)),
            DeviceType::Cpu if next(&mut software) == 0 => Selector::Cpu,
            // The runtime has no way to name these.
            DeviceType::Cpu | DeviceType::Other => return None,
        };
        Some(Adapter { adapter, info, selector })
    });
    numbered.collect()
}

/// What a graphics interface has on this machine; nothing without a driver for it.
fn probe(backend: Backend) -> Vec<(wgpu::Adapter, AdapterInfo)> {
    // The Vulkan loader crashes when instances come and go on several threads.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !Instance::enabled_backend_features().contains(backend.into()) {
        return Vec::new();
    }
    let instance = Instance::new(InstanceDescriptor {
        backends: backend.into(),
        ..InstanceDescriptor::new_without_display_handle()
    });
    // Native adapters are there at once: only a browser would have us wait.
    let adapters = pin!(instance.enumerate_adapters(backend.into()));
    match adapters.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(adapters) => {
            let named = |adapter: wgpu::Adapter| {
                let info = adapter.get_info();
                (adapter, info)
            };
            adapters.into_iter().map(named).collect()
        }
        Poll::Pending => Vec::new(),
    }
}
