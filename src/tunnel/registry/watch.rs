//! A look at a tunnel while it runs: the tunnel writes down what it has moved, and no reader of that can hold it up.
//!
//! Knows the numbers of one tunnel, and that an end may be requested. It must not know how bytes move.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::After;
use crate::tunnel::engine::Engine;

/// A look at one tunnel while it runs, and a way to end it: from [`Tunnel::watch`](crate::tunnel::Tunnel::watch).
///
/// Cheap to clone, and of use from any thread. A watched tunnel costs about 150 bytes more; with every message that
/// moves it stores the new numbers, without a lock. A tunnel that nobody watches pays nothing.
///
/// ```
/// use switchover::tunnel::{End, Tunnel};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ((mut client, downstream), (upstream, mut origin)) = (tokio::io::duplex(64), tokio::io::duplex(64));
/// let mut tunnel = Tunnel::new(downstream, upstream);
/// let watch = tunnel.watch();
/// let tunnel = tokio::spawn(tunnel.run());
///
/// client.write_all(b"hello").await?;
/// origin.read_exact(&mut [0; 5]).await?;
/// assert_eq!((watch.from_downstream(), watch.from_upstream()), (5, 0));
/// println!("last byte {:?} ago", watch.last_activity().elapsed());
///
/// watch.end();
/// assert_eq!(tunnel.await??.end(), End::Requested);
/// assert!(!watch.is_open());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TunnelWatch {
    shared: Arc<Shared>,
}

struct Shared {
    from_downstream: AtomicU64,
    from_upstream: AtomicU64,
    made_at: Instant,
    /// When the last byte moved, in nanoseconds since it was made.
    moved_after: AtomicU64,
    open: AtomicBool,
    asked: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// The tunnel's end of its watch.
pub(in crate::tunnel) struct Watched {
    shared: Arc<Shared>,
    /// The waker that is registered for a request to end, to see without the lock that it is still right.
    waker: Option<Waker>,
}

impl TunnelWatch {
    /// Bytes that came from downstream and that the upstream stream has accepted so far.
    ///
    /// Each number is right by itself; they need not be from the same moment. They stay when the tunnel has ended, and
    /// are then those of its [`Traffic`].
    #[must_use]
    pub fn from_downstream(&self) -> u64 {
        self.shared.from_downstream.load(Ordering::Relaxed)
    }

    /// Bytes that came from upstream and that the downstream stream has accepted so far.
    #[must_use]
    pub fn from_upstream(&self) -> u64 {
        self.shared.from_upstream.load(Ordering::Relaxed)
    }

    /// When the last byte moved in either direction; before the first one, when the watch was made.
    #[must_use]
    pub fn last_activity(&self) -> Instant {
        let after = Duration::from_nanos(self.shared.moved_after.load(Ordering::Relaxed));
        self.shared.made_at.after(after)
    }

    /// Whether the tunnel may still carry anything: until its future has completed or was dropped.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Ends this tunnel in order, as a [drain](crate::tunnel::Tunnel::drain) does, with [`End::Requested`]; with a Close to both sides if it
    /// [knows its frames](crate::tunnel::Tunnel::websocket).
    ///
    /// Returns at once; the tunnel is [open](TunnelWatch::is_open) until what was read has been delivered. Before the
    /// tunnel runs, it takes effect when it does. Of no effect on a tunnel that is about to end for another reason.
    pub fn end(&self) {
        self.shared.asked.store(true, Ordering::Release);
        let waker = self.shared.exchange(None);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Shared {
    /// Returns the waker that was there, to be woken or dropped without the lock.
    fn exchange(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut registered = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *registered, waker)
    }
}

impl Watched {
    pub(in crate::tunnel) fn new() -> Self {
        Watched {
            shared: Arc::new(Shared {
                from_downstream: AtomicU64::new(0),
                from_upstream: AtomicU64::new(0),
                made_at: Instant::now(),
                moved_after: AtomicU64::new(0),
                open: AtomicBool::new(true),
                asked: AtomicBool::new(false),
                waker: Mutex::new(None),
            }),
            waker: None,
        }
    }

    pub(in crate::tunnel) fn watch(&self) -> TunnelWatch {
        TunnelWatch {
            shared: self.shared.clone(),
        }
    }

    /// Before the tunnel moves anything: passes on a request to end.
    pub(in crate::tunnel) fn listen(&mut self, cx: &mut Context<'_>, engine: &mut Engine) {
        if self.poll_asked(cx).is_ready() {
            engine.end(true);
        }
    }

    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.asked.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        drop(self.shared.exchange(self.waker.clone()));
        // Asked in the meantime, before there was anyone to wake.
        match self.shared.asked.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// After the tunnel has moved what it could: writes that down.
    pub(in crate::tunnel) fn record(&self, engine: &Engine) {
        let directions = [
            (&engine.from_downstream, &self.shared.from_downstream),
            (&engine.from_upstream, &self.shared.from_upstream),
        ];
        for (half, counter) in directions {
            let delivered = half.delivered();
            // Nobody else writes, so plain stores will do.
            if counter.load(Ordering::Relaxed) != delivered {
                counter.store(delivered, Ordering::Relaxed);
                let moved_after = half
                    .outlet()
                    .moved_at()
                    .saturating_duration_since(self.shared.made_at);
                // 584 years of nanoseconds.
                self.shared
                    .moved_after
                    .store(moved_after.as_nanos() as u64, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.open.store(false, Ordering::Release);
        drop(self.shared.exchange(None));
    }
}

impl fmt::Debug for TunnelWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelWatch")
            .field("from_downstream", &self.from_downstream())
            .field("from_upstream", &self.from_upstream())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}
