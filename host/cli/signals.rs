//! Ctrl-C and SIGTERM: the first one asks the run to stop, the second one ends the process.

use anyhow::Context;
use dc_graph::exec::CancelToken;

use super::exit::Exit;

/// Listens from now on, on a thread of its own. `on_first` runs after the request to stop.
pub(crate) fn listen(cancel: CancelToken, on_first: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot listen to signals")?;
    // Registered here, so that a signal that comes right after this call counts already.
    let guard = runtime.enter();
    let mut signals = Signals::new().context("cannot listen to signals")?;
    drop(guard);
    let listen = move || {
        runtime.block_on(async {
            signals.next().await;
            cancel.cancel();
            on_first();
            signals.next().await;
            std::process::exit(Exit::Interrupted.code().into());
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).context("cannot listen to signals")?;
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
