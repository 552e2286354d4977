//! Which device and number type a command works with.

use dc_graph_nodes::Settings;
use dc_graph_nodes::dc_diffusion::device::{DTypeChoice, DeviceChoice};

/// Where models run.
#[derive(clap::Args)]
pub(crate) struct DeviceArgs {
    /// auto, cpu, wgpu or wgpu:N, and so vulkan, metal and cuda where built; `dc-graph devices` lists them
    #[arg(long, default_value_t = DeviceChoice::Auto, value_parser = |text: &str| text.parse::<DeviceChoice>())]
    device: DeviceChoice,
    /// Number type of models: auto, f32, f16 or bf16
    #[arg(long, default_value_t = DTypeChoice::Auto, value_parser = |text: &str| text.parse::<DTypeChoice>())]
    dtype: DTypeChoice,
}

impl DeviceArgs {
    /// What the nodes are told. The device is looked up when the first one needs it.
    pub(crate) fn settings(&self) -> Settings {
        Settings { device: self.device.to_string(), dtype: self.dtype.to_string() }
    }
}
