//! SIGINT and SIGTERM.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Tells that the user wants the program to end. The first signal is a request; a second one ends
/// the program at once.
#[derive(Debug)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
    channel: Receiver<Infallible>,
    socket: UnixStream,
}

impl Interrupt {
    /// Takes over the two signals.
    pub(crate) fn install() -> Result<Self, Failure> {
        let fail = |error| Failure::new(format!("cannot handle signals: {error}"));
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, 1, raised.clone()).map_err(fail)?;
            flag::register(signal, raised.clone()).map_err(fail)?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(fail)?;
        let (sender, channel) = bounded(0);
        let (theirs, socket) = UnixStream::pair().map_err(fail)?;
        thread::Builder::new()
            .name("iscp-signals".to_owned())
            .spawn(move || {
                signals.forever().next();
                // Closed ends are what everybody waits for: they stay closed.
                let _: (Sender<Infallible>, UnixStream) = (sender, theirs);
            })
            .map_err(fail)?;
        Ok(Self { raised, channel, socket })
    }

    /// Whether there was a signal.
    pub(crate) fn raised(&self) -> bool {
        self.raised.load(Relaxed)
    }

    /// A channel that is disconnected once there was a signal.
    pub(crate) fn channel(&self) -> &Receiver<Infallible> {
        &self.channel
    }

    /// A descriptor that polls readable once there was a signal.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
