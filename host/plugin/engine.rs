//! The sandbox that all plugins share: compiler, settings, and the clock that interrupts.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::compiled::Compiled;
use super::error::PluginProblem;

/// How often a running plugin is looked after: the longest that a cancelled one goes on.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Of native stack for WebAssembly frames. Threads have 2 MiB.
const STACK: usize = 1 << 20;
/// Compilation cannot be interrupted, only left alone.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(120);
/// What a component begins with; a core module has another fifth byte.
const COMPONENT_MAGIC: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// The engine. One for all plugins of a process.
#[derive(Clone)]
pub(super) struct Sandbox {
    pub(super) engine: Engine,
    ticker: Arc<Ticker>,
    compiled: Option<Compiled>,
}

impl Sandbox {
    /// `interruptible` off is for measuring what the checks cost.
    pub(super) fn new(compiled: Option<Compiled>, interruptible: bool) -> Result<Self, PluginProblem> {
        let mut config = Config::new();
        config
            .epoch_interruption(interruptible)
            .max_wasm_stack(STACK)
            // The same numbers on every machine.
            .relaxed_simd_deterministic(true);
        let engine = Engine::new(&config).map_err(|error| PluginProblem::Engine(format!("{error:#}")))?;
        let ticker =
            Ticker::new(engine.clone()).map_err(|error| PluginProblem::Engine(format!("no clock: {error}")))?;
        Ok(Self { engine, ticker, compiled })
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
            .map_err(|error| PluginProblem::Invalid(format!("it cannot be compiled: {error:#}")))?;
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
