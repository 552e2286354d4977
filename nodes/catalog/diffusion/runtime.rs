//! The device that models are loaded to.

use std::sync::{Arc, OnceLock};

use dc_diffusion::device::{Resolved, resolve};
use dc_graph_node_api::NodeError;

use super::values::node_error;
use crate::Settings;

/// Looks the device up when it is first needed and remembers it.
pub(crate) struct Runtime {
    settings: Settings,
    resolved: OnceLock<Result<Resolved, String>>,
}

impl Runtime {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self { settings: settings.clone(), resolved: OnceLock::new() })
    }

    /// The device and the number type.
    pub(crate) fn get(&self) -> Result<&Resolved, NodeError> {
        let resolved = self.resolved.get_or_init(|| {
            let choice = self.settings.device.parse().map_err(|e| node_error(e).to_string())?;
            let dtype = self.settings.dtype.parse().map_err(|e| node_error(e).to_string())?;
            resolve(choice, dtype).map_err(|e| e.to_string())
        });
        resolved.as_ref().map_err(|message| NodeError::failed(message.clone()))
    }

    /// What results depend on besides their inputs. Empty when there is no such device: loading the model tells why.
    pub(crate) fn class(&self) -> String {
        self.get().map(|r| r.class.clone()).unwrap_or_default()
    }
}
