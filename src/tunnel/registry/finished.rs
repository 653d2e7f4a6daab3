//! A wait until no tunnel is open.
//!
//! Knows the number of tunnels and their table of wakers. It must not know why they end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Tunnels;
use super::wakers::Waiter;

/// Completes when no tunnel is open: the future of [`Tunnels::finished`].
///
/// # Cancel safety
///
/// Dropping it does nothing but forget the waker.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Finished {
    tunnels: Tunnels,
    waiter: Waiter,
}

impl Finished {
    pub(super) fn of(tunnels: Tunnels) -> Self {
        Finished {
            tunnels,
            waiter: Waiter::default(),
        }
    }
}

impl Future for Finished {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let waker = cx.waker().clone();
        let mut table = this.tunnels.table();
        if table.len() == 0 {
            let left_over = table.finished().forget(&mut this.waiter);
            drop(table);
            drop(left_over);
            return Poll::Ready(());
        }
        let left_over = table.finished().register(&mut this.waiter, waker);
        drop(table);
        drop(left_over);
        Poll::Pending
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if self.waiter.has_registered() {
            let left_over = self.tunnels.table().finished().forget(&mut self.waiter);
            drop(left_over);
        }
    }
}
