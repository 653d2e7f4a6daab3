//! A cap counts right, in whatever order its permits are taken and dropped.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use switchover::tunnel::{Cap, PeerCap};
use tokio::time::timeout;

use crate::seconds;

#[test]
fn no_more_than_allowed_and_no_fewer() {
    let cap = Cap::new(2);
    assert_eq!((cap.open(), cap.limit()), (0, Some(2)));
    let (first, second) = (cap.try_acquire(), cap.clone().try_acquire());
    assert!(first.is_some() && second.is_some());
    assert!(cap.try_acquire().is_none());
    drop(first);
    let third = cap.try_acquire();
    assert!(third.is_some());
    assert_eq!(cap.open(), 2);
    drop((second, third));
    assert_eq!(cap.open(), 0);
    assert!(Cap::new(0).try_acquire().is_none());
}

#[test]
fn without_a_limit_it_counts() {
    let cap = Cap::unlimited();
    let permits: Vec<_> = (0..1000).map(|_| cap.try_acquire().unwrap()).collect();
    assert_eq!((cap.open(), cap.limit()), (1000, None));
    drop(permits);
    assert_eq!(cap.open(), 0);
}

#[test]
fn threads_never_have_more_than_allowed() {
    const LIMIT: usize = 3;
    let (cap, peers) = (Cap::new(LIMIT), PeerCap::new(LIMIT));
    let peer = IpAddr::from([192, 0, 2, 1]);
    let (inside, most, let_in) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let permits = (cap.try_acquire(), peers.try_acquire(peer));
                    if let (Some(_), _) = &permits {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        let_in.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    assert!(peers.open(peer) <= LIMIT && cap.open() <= LIMIT);
                }
            });
        }
    });
    assert!(most.into_inner() <= LIMIT);
    // How many is a matter of scheduling; the first of all is always let in.
    assert!(let_in.into_inner() > 0);
    assert_eq!((cap.open(), peers.open(peer), peers.peers()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn emptied_completes_with_the_last() {
    let cap = Cap::unlimited();
    cap.emptied().await;
    let (first, second) = (cap.try_acquire(), cap.try_acquire());
    let waits = tokio::spawn(cap.emptied());
    drop(first);
    tokio::time::sleep(seconds(1)).await;
    assert!(!waits.is_finished());
    drop(second);
    waits.await.unwrap();
}

#[test]
fn emptied_is_what_is_so_when_it_is_asked() {
    let cap = Cap::unlimited();
    let cx = &mut Context::from_waker(Waker::noop());
    let mut emptied = pin!(cap.emptied());
    let permit = cap.try_acquire();
    assert!(emptied.as_mut().poll(cx).is_pending());
    drop(permit);
    let permit = cap.try_acquire();
    assert!(
        emptied.as_mut().poll(cx).is_pending(),
        "another has come in between"
    );
    drop(permit);
    assert!(emptied.as_mut().poll(cx).is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_last_one_is_missed() {
    for turn in 0..2_000 {
        let cap = Cap::unlimited();
        let permits: Vec<_> = (0..4).map(|_| cap.try_acquire()).collect();
        for permit in permits {
            tokio::spawn(async move {
                if turn % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                drop(permit);
            });
        }
        let both = async { tokio::join!(cap.emptied(), cap.emptied()) };
        timeout(Duration::from_secs(5), both).await.expect("it is empty");
    }
}
