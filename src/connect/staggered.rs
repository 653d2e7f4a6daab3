//! Of several addresses each gets a head start over the next, and the first to accept wins (RFC 8305, section 5).
//!
//! One that swallows everything costs the head start, and not the time of all others. Knows addresses and futures, no
//! sockets.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Shortage;

use crate::clock::After;

/// The "Connection Attempt Delay": how long an address may stay silent before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address that accepts. Attempts that are still under way then are given up.
///
/// # Errors
///
/// That of the attempt that was the last to fail.
pub(super) async fn connect<F, T>(
    addresses: Vec<SocketAddr>,
    start: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = alternating(addresses).into_iter();
    let mut running = Running(Vec::new());
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut head_start = pin!(sleep(HEAD_START));
    poll_fn(|cx| {
        loop {
            let failed = match running.poll(cx) {
                Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                Poll::Ready(Err(error)) => {
                    if Shortage::of(&error) == Some(Shortage::Resources) {
                        // No other address has what this host lacks.
                        left = Vec::new().into_iter();
                    }
                    failure = error;
                    true
                }
                Poll::Pending => false,
            };
            if !failed && !running.0.is_empty() && !is_over(head_start.as_mut(), cx) {
                return Poll::Pending;
            }
            match left.next() {
                Some(address) => running.0.push(Box::pin(start(address))),
                None if running.0.is_empty() => {
                    return Poll::Ready(Err(std::mem::replace(&mut failure, io::ErrorKind::Other.into())));
                }
                // Those that run have all the time that the caller gives them.
                None if !failed => return Poll::Pending,
                None => continue,
            }
            head_start.as_mut().reset(Instant::now().after(HEAD_START));
        }
    })
    .await
}

fn is_over(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> bool {
    timer.poll(cx).is_ready()
}

/// The attempts under way.
struct Running<F>(Vec<Pin<Box<F>>>);

impl<F, T> Running<F>
where
    F: Future<Output = io::Result<T>>,
{
    /// The first to have ended, in either way. It is not among them any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        for at in 0..self.0.len() {
            if let Poll::Ready(result) = self.0[at].as_mut().poll(cx) {
                drop(self.0.swap_remove(at));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }
}

/// The addresses in their order, but with both families in turns (RFC 8305, section 4): where one of them leads nowhere, as
/// IPv6 often does, the second attempt is the one that succeeds.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_ipv6);
    let mut others = others.into_iter();
    let mut all = Vec::new();
    for address in ours {
        all.push(address);
        all.extend(others.next());
    }
    all.extend(others);
    all
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        for (given, expected) in [
            (
                &["[::1]:1", "[::2]:1", "1.1.1.1:1"][..],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1"][..],
            ),
            (
                &["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1"],
                &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "3.3.3.3:1"],
            ),
            (
                &["1.1.1.1:1", "[::1]:1", "[::2]:1"],
                &["1.1.1.1:1", "[::1]:1", "[::2]:1"],
            ),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (&[], &[]),
        ] {
            assert_eq!(alternating(addresses(given)), addresses(expected));
        }
    }

    /// What becomes of an attempt, and after how many milliseconds.
    type Fate = (u64, Result<(), io::ErrorKind>);

    /// The port that wins, when, and when each attempt began; port 0 stands for the first fate.
    async fn race(fates: &[Fate]) -> (io::Result<u16>, u64, Vec<u64>) {
        let since = Instant::now();
        let elapsed = || u64::try_from(since.elapsed().as_millis()).unwrap();
        let began = RefCell::new(Vec::new());
        let addresses = (0..fates.len()).map(|at| SocketAddr::from(([127, 0, 0, 1], at as u16)));
        let result = connect(addresses.collect(), |address| {
            began.borrow_mut().push(elapsed());
            let (delay, fate) = fates[usize::from(address.port())];
            async move {
                sleep(Duration::from_millis(delay)).await;
                fate.map(|()| address.port()).map_err(io::Error::from)
            }
        });
        (result.await, elapsed(), began.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_costs_its_head_start() {
        const FOREVER: u64 = 1_000_000;
        let refused = Err(io::ErrorKind::ConnectionRefused);
        let (winner, at, began) = race(&[(FOREVER, Ok(())), (10, Ok(()))]).await;
        assert_eq!((winner.unwrap(), at, began), (1, 260, vec![0, 250]));
        let (winner, at, began) = race(&[(FOREVER, Ok(())), (10, refused), (20, Ok(()))]).await;
        assert_eq!((winner.unwrap(), at, began), (2, 280, vec![0, 250, 260]));
        let (winner, at, began) = race(&[(10, refused), (0, refused), (20, Ok(()))]).await;
        assert_eq!((winner.unwrap(), at, began), (2, 30, vec![0, 10, 10]));
        // Slow is not lost: it goes on beside the next.
        let (winner, at, began) = race(&[(300, Ok(())), (100, Ok(()))]).await;
        assert_eq!((winner.unwrap(), at, began), (0, 300, vec![0, 250]));
        let (winner, at, began) = race(&[(600, Ok(())), (100, refused)]).await;
        assert_eq!((winner.unwrap(), at, began), (0, 600, vec![0, 250]));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_fail_the_last_error_is_reported() {
        let (result, at, began) = race(&[
            (700, Err(io::ErrorKind::HostUnreachable)),
            (10, Err(io::ErrorKind::ConnectionRefused)),
        ])
        .await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::HostUnreachable);
        assert_eq!((at, began), (700, vec![0, 250]));
        let (result, ..) = race(&[]).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
