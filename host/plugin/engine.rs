//! The sandbox that all plugins share: compiler, settings, and the clock that interrupts.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine, PoolingAllocationConfig};

use super::compiled::Compiled;
use super::error::PluginProblem;
use super::limits::Limits;

/// How often a running plugin is looked after: the longest that a cancelled one goes on.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Native stack that the host's own functions have beyond the plugin's, when it calls them.
const HOST_STACK: usize = 1 << 20;
/// Memories of plugins that a pool has places for. Each takes 4 GiB of addresses.
const PLACES: u32 = 256;
/// Memory that stays with a place between calls, cleared.
const KEPT_BYTES: usize = 16 << 20;
/// Places that wait for their plugin to come back before others get them.
const KEPT_PLACES: u32 = 8;
/// Compilation cannot be interrupted, only left alone. A whole Python takes 20 seconds when nothing else runs.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);
/// What a component begins with; a core module has another fifth byte.
const COMPONENT_MAGIC: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// What a thread needs for plugins that have this much stack, in bytes.
pub(super) fn native_stack(stack_kib: u32) -> usize {
    ((stack_kib.max(1) as usize) << 10) + HOST_STACK
}

/// How a sandbox is made.
#[derive(Clone)]
pub(super) struct Making {
    /// Where compiled components are kept.
    pub(super) compiled: Option<Compiled>,
    /// Off is for measuring what the checks cost.
    pub(super) interruptible: bool,
    /// What the places of a pool have room for; without, an instance gets memory of its own from the system.
    pub(super) pool: Option<Limits>,
}

/// The engine. One for all plugins of a host whose functions have the same stack.
#[derive(Clone)]
pub(super) struct Sandbox {
    pub(super) engine: Engine,
    ticker: Arc<Ticker>,
    compiled: Option<Compiled>,
}

impl Sandbox {
    /// A sandbox for plugins that have this much stack.
    pub(super) fn new(making: &Making, stack_kib: u32) -> Result<Self, PluginProblem> {
        let mut config = Config::new();
        config
            .epoch_interruption(making.interruptible)
            .max_wasm_stack(native_stack(stack_kib) - HOST_STACK)
            .async_stack_size(native_stack(stack_kib))
            // The same numbers on every machine.
            .relaxed_simd_deterministic(true);
        let alone = config.clone();
        if let Some(limits) = &making.pool {
            config.allocation_strategy(pool(limits));
        }
        // Where a process may not have that many addresses, there is no pool.
        let engine = Engine::new(&config).or_else(|_| Engine::new(&alone));
        let engine = engine.map_err(|error| PluginProblem::Engine(format!("{error:#}")))?;
        let ticker =
            Ticker::new(engine.clone()).map_err(|error| PluginProblem::Engine(format!("no clock: {error}")))?;
        Ok(Self { engine, ticker, compiled: making.compiled.clone() })
    }

    /// The component in a file, compiled or taken from earlier. Compiles on a thread of its own.
    pub(super) fn component(&self, bytes: Vec<u8>, digest: &blake3::Hash) -> Result<Component, PluginProblem> {
        if let Some(magic) = bytes.first_chunk::<8>().filter(|magic| **magic != COMPONENT_MAGIC) {
            let what = if magic.starts_with(b"\0asm") { "a core module, not a component" } else { "not WebAssembly" };
            return Err(PluginProblem::NotAComponent(format!("its file is {what}")));
        }
        if bytes.len() < 8 {
            return Err(PluginProblem::NotAComponent("its file is not WebAssembly".into()));
        }
        if let Some(component) = self.compiled.as_ref().and_then(|compiled| compiled.load(&self.engine, digest)) {
            return Ok(component);
        }
        let (tell, told) = mpsc::channel();
        let engine = self.engine.clone();
        let compile = move || {
            let _ = tell.send(Component::from_binary(&engine, &bytes));
        };
        let thread = std::thread::Builder::new().name("plugin-compiler".into()).spawn(compile);
        thread.map_err(|error| PluginProblem::Engine(format!("cannot start a thread: {error}")))?;
        let component = told
            .recv_timeout(COMPILE_TIMEOUT)
            .map_err(|_| {
                PluginProblem::Invalid(format!("it takes more than {} seconds to compile", COMPILE_TIMEOUT.as_secs()))
            })?
            .map_err(|error| {
                let told = format!("{error:#}");
                PluginProblem::Invalid(match told.split_once("pooling allocator requirements: ") {
                    Some((_, too_much)) => format!("it needs more than any plugin may have: {too_much}"),
                    None => format!("it cannot be compiled: {told}"),
                })
            })?;
        if let Some(compiled) = &self.compiled {
            compiled.store(&self.engine, digest, &component);
        }
        Ok(component)
    }

    /// Ticks for as long as what it returns lives.
    pub(super) fn ticking(&self) -> Ticking {
        *self.ticker.calls() += 1;
        self.ticker.changed.notify_one();
        Ticking(self.ticker.clone())
    }
}

/// Places for instances, made once and used again and again: of addresses, not of memory.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(PLACES)
        .total_core_instances(8 * PLACES)
        .total_memories(PLACES)
        .total_tables(8 * PLACES)
        .max_core_instances_per_component(limits.instances)
        .max_memories_per_component(limits.memories)
        .max_tables_per_component(limits.tables)
        .max_memories_per_module(limits.memories)
        .max_tables_per_module(limits.tables)
        .table_elements(limits.table_elements as usize)
        // Clearing pages that are there is cheaper than having them come anew, one by one.
        .linear_memory_keep_resident(KEPT_BYTES)
        .max_unused_warm_slots(KEPT_PLACES)
        .pagemap_scan(wasmtime::Enabled::Auto);
    pool
}

/// Raises the engine's epoch while there are calls, and sleeps while there are none.
struct Ticker {
    calls: Mutex<usize>,
    changed: Condvar,
}

/// Somebody needs the ticks.
pub(super) struct Ticking(Arc<Ticker>);

impl Drop for Ticking {
    fn drop(&mut self) {
        *self.0.calls() -= 1;
    }
}

impl Ticker {
    /// Without the thread no plugin can be stopped, so none may run.
    fn new(engine: Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self { calls: Mutex::new(0), changed: Condvar::new() });
        let weak = Arc::downgrade(&ticker);
        std::thread::Builder::new().name("plugin-clock".into()).spawn(move || tick(&weak, &engine))?;
        Ok(ticker)
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, usize> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends within a second after the last sandbox is gone.
fn tick(ticker: &Weak<Ticker>, engine: &Engine) {
    while let Some(ticker) = ticker.upgrade() {
        let calls = ticker.calls();
        if *calls == 0 {
            let woken = ticker.changed.wait_timeout(calls, Duration::from_secs(1));
            drop(woken);
            continue;
        }
        drop(calls);
        drop(ticker);
        std::thread::sleep(TICK);
        engine.increment_epoch();
    }
}
