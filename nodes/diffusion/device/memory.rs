//! How much memory a device has left.

use burn::tensor::Device;
use sysinfo::System;

/// What the device can still give, in bytes, as far as the system tells: of the CPU what is available to programs within
/// the limits of a container, of a GPU on Vulkan what its driver says this process may still take, and all its memory
/// where an old driver does not. Nothing of GPUs that are reached in another way.
pub fn free_bytes(device: &Device) -> Option<u64> {
    if *device == Device::flex() {
        return free_in_system();
    }
    #[cfg(feature = "wgpu")]
    return super::adapters::free_bytes(device);
    #[cfg(not(feature = "wgpu"))]
    None
}

fn free_in_system() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let available = system.available_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    // 0 where the system does not tell.
    (available > 0).then(|| available.min(limit))
}

/// How many things of so many bytes each there is room for, with a fifth of what is free left over: one at least, and
/// any number where the device does not tell what is free.
pub fn room_for(bytes: u64, free: Option<u64>) -> usize {
    free.map_or(usize::MAX, |free| ((free / 5 * 4) / bytes.max(1)).max(1) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DTypeChoice, DeviceChoice, Interface, resolve};

    #[test]
    fn a_fifth_is_left_over() {
        let check = |free, expected| assert_eq!(room_for(100, free), expected, "{free:?}");
        check(None, usize::MAX);
        check(Some(0), 1);
        check(Some(374), 2);
        check(Some(375), 3);
    }

    #[test]
    fn memory_that_is_taken_is_not_free() {
        let cpu = crate::testing::device() == Device::flex();
        let choice = if cpu { DeviceChoice::Cpu } else { DeviceChoice::Gpu(Interface::Wgpu, None) };
        let device = resolve(choice, DTypeChoice::F32).expect("the device of the tests").device;
        let free = free_bytes(&device).expect("the system or the driver tells");
        assert!((1 << 20..1 << 50).contains(&free), "{free}");
    }
}
