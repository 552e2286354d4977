//! One call of a plugin: a fresh instance, its limits, and what it may reach.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dc_graph_node_api::{Decoders, LogLevel, RunContext};
use wasmtime::component::{Instance, InstancePre, Resource, ResourceTable};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::budget::Budget;
use super::engine::{Sandbox, native_stack};
use super::fault::{Fault, Stop, plain};
use super::grants::Grant;
use super::limits::Limits;
use super::random::Random;

/// Steps and previews that a call may tell of; what comes after is dropped.
const MAX_TOLD: u32 = 10_000;
/// Handles that a call may hold at a time.
const MAX_HANDLES: usize = 100_000;

/// A component that is ready to be called.
pub(super) struct Callee {
    pub(super) sandbox: Sandbox,
    pub(super) instance: InstancePre<Call>,
    /// What it may use up and reach, and its name in messages.
    pub(super) terms: Arc<Terms>,
}

/// What a plugin may use up and reach.
pub(super) struct Terms {
    /// Its id and version, as messages name it: `` `film-grain` 0.1.0 ``.
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) granted: Grant,
    /// For values that it changes.
    pub(super) decoders: Decoders,
}

/// The host's side of a call.
pub(super) struct Call {
    context: Context,
    pub(super) terms: Arc<Terms>,
    pub(super) table: ResourceTable,
    pub(super) budget: Arc<Budget>,
    pub(super) random: Random,
    memory: u64,
    log_left: usize,
    told: u32,
    started: Instant,
    time: Duration,
}

/// A run's context inside a store, whose contents cannot borrow.
struct Context(&'static dyn RunContext);

impl Callee {
    /// Makes an instance and calls it. Nothing of it is left afterwards. `seconds` is used in the place of the time limit.
    pub(super) fn call<R: Send>(
        &self,
        context: &dyn RunContext,
        seed: u64,
        seconds: Option<u32>,
        work: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<R> + Send,
    ) -> Result<R, Fault> {
        let stack_kib = self.terms.limits.stack_kib;
        if stack_kib <= Limits::DEFAULT.stack_kib {
            return self.call_here(context, seed, seconds, work);
        }
        // More than threads have.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("plugin-call".into()).stack_size(native_stack(stack_kib));
            let call = || self.call_here(context, seed, seconds, work);
            let thread = thread.spawn_scoped(scope, call).map_err(|error| Fault::of_host(&error.to_string()))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn call_here<R>(
        &self,
        context: &dyn RunContext,
        seed: u64,
        seconds: Option<u32>,
        work: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        // SAFETY: the reference lives in the store, which this function makes, lends and drops; so it is gone before
        // `context` is, however the function ends.
        let context = Context(unsafe { std::mem::transmute::<&dyn RunContext, &'static dyn RunContext>(context) });
        let limits = &self.terms.limits;
        let seconds = seconds.unwrap_or(limits.seconds);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let call = Call {
            context,
            terms: self.terms.clone(),
            table,
            budget: Budget::new(limits.buffers_mib),
            random: Random::new(seed),
            memory: 0,
            log_left: (limits.log_kib as usize) << 10,
            told: 0,
            started: Instant::now(),
            time: Duration::from_secs(seconds.into()),
        };
        let mut store = Store::new(&self.sandbox.engine, call);
        store.limiter(|call| call);
        store.set_hostcall_fuel((limits.transfer_mib as usize) << 20);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().check()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let _ticking = self.sandbox.ticking();
        let result = self.instance.instantiate(&mut store).and_then(|instance| work(&mut store, &instance));
        result.map_err(|error| Fault::new(&error))
    }
}

impl Call {
    /// The run.
    pub(super) fn context(&self) -> &dyn RunContext {
        self.context.0
    }

    /// Whether the call may go on.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.context().is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.time_left().is_zero() {
            return Err(Stop::Time(u32::try_from(self.time.as_secs()).unwrap_or(u32::MAX)));
        }
        Ok(())
    }

    /// Whether one more step or preview is told.
    pub(super) fn may_tell(&mut self) -> bool {
        self.told = self.told.saturating_add(1);
        self.told <= MAX_TOLD
    }

    /// Until the call is stopped.
    pub(super) fn time_left(&self) -> Duration {
        self.time.saturating_sub(self.started.elapsed())
    }

    /// Tells the user something, as far as the limit goes.
    pub(super) fn log(&mut self, level: LogLevel, message: &str) {
        let left = self.log_left;
        if left == 0 {
            return;
        }
        self.log_left = left.saturating_sub(message.len().max(1));
        self.context().log(level, &plain(message, left));
        if self.log_left == 0 {
            self.context()
                .log(LogLevel::Warning, &format!("plugin {} logs too much; the rest is dropped", self.terms.name));
        }
    }

    /// Puts something into the table of handles.
    pub(super) fn push<T: Send + 'static>(&mut self, entry: T) -> Result<Resource<T>, Stop> {
        self.table.push(entry).map_err(|_| Stop::Handles(MAX_HANDLES))
    }
}

impl ResourceLimiter for Call {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.terms.limits.memory_mib;
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if memory > u64::from(limit) << 20 {
            // As an error instead of a failed growth: guests tend to answer that with a trap that says nothing.
            return Err(Stop::Memory(limit).into());
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.terms.limits.table_elements;
        if desired > limit as usize {
            return Err(Stop::TableElements(limit).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.terms.limits.instances as usize
    }

    fn tables(&self) -> usize {
        self.terms.limits.tables as usize
    }

    fn memories(&self) -> usize {
        self.terms.limits.memories as usize
    }
}

/// Where there is no run: nobody listens, nobody stops it.
pub(super) struct NoRun;

impl RunContext for NoRun {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _: u64, _: u64) {}

    fn preview(&self, _: &dc_graph_node_api::Image) {}

    fn log(&self, _: LogLevel, _: &str) {}

    fn output_dir(&self) -> &std::path::Path {
        std::path::Path::new("")
    }

    fn digest(&self, path: &std::path::Path) -> Result<String, dc_graph_node_api::NodeError> {
        let source = std::io::ErrorKind::Unsupported.into();
        Err(dc_graph_node_api::NodeError::File { path: path.into(), source })
    }

    fn provenance(&self) -> String {
        String::new()
    }
}
