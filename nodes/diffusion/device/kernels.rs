//! The kernels of GPUs, which are compiled when first needed: counted, so that a user sees what the first step waits for,
//! and kept on disk where the build can.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn_cubecl::cubecl::config::compilation::CompilationLogLevel;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use log::{LevelFilter, Log, Metadata, Record};

static COMPILED: AtomicUsize = AtomicUsize::new(0);

/// See [`super::compiled_kernels`].
pub(super) fn compiled() -> usize {
    COMPILED.load(Ordering::Relaxed)
}

/// Prepares the runtime, before a device is opened. What a `cubecl.toml` or `burn.toml` says stays, but for keeping compiled
/// kernels, which is always on, and the log of them where it is off.
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        let logger = &mut config.compilation.logger;
        if matches!(logger.level, CompilationLogLevel::Disabled) && log::set_logger(&Counter).is_ok() {
            log::set_max_level(LevelFilter::Info);
            logger.level = CompilationLogLevel::Basic;
            logger.log = Some(Default::default());
        }
        // Otherwise each process compiles them again.
        #[cfg(any(feature = "vulkan", feature = "metal", feature = "cuda"))]
        {
            config.compilation.cache = true;
        }
        // Where a program set one already, that is meant.
        CubeClRuntimeConfig::try_set(config);
    });
}

/// Counts the messages that the runtime logs, one for each kernel that it compiles.
struct Counter;

impl Log for Counter {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target() == "cubecl::compilation"
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            COMPILED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}
