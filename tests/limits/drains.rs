//! A drain tells everyone who waits, each in its turn, and nobody twice.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use switchover::tunnel::{Drain, DrainSignal, End, Schedule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{seconds, table};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(draining: &mut DrainSignal, waker: &Waker) -> Poll<()> {
    Pin::new(draining).poll(&mut Context::from_waker(waker))
}

/// When each of `waiters` completes, from now on, in the order in which they do.
async fn turns(waiters: impl IntoIterator<Item = DrainSignal>) -> Vec<Duration> {
    let now = Instant::now();
    let mut tasks: JoinSet<_> = waiters
        .into_iter()
        .map(|waiter| async move {
            waiter.await;
            now.elapsed()
        })
        .collect();
    let mut turns = Vec::new();
    while let Some(turn) = tasks.join_next().await {
        turns.push(turn.unwrap());
    }
    turns.sort();
    turns
}

/// Lets every task run as far as it can.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_goes_on_for_the_grace_and_ends_in_order() {
    let (mut client, tunnel, mut origin) = table();
    let drain = Drain::new();
    let tunnel = tokio::spawn(tunnel.drain(drain.signal()).run());
    let started = Instant::now();
    settle().await;
    drain.start(Schedule::default().grace(seconds(10)));
    for _ in 0..9 {
        sleep(seconds(1)).await;
        client.write_all(b"ping").await.unwrap();
        origin.read_exact(&mut [0; 4]).await.unwrap();
    }
    let traffic = tunnel.await.unwrap().unwrap();
    assert_eq!((traffic.end(), traffic.from_downstream()), (End::Drained, 36));
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "an orderly end");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_started_before_the_tunnel_leaves_it_what_was_read() {
    let (_client, tunnel, mut origin) = table();
    let drain = Drain::new();
    drain.complete_now();
    let tunnel = tunnel.leftovers("early".into(), "".into()).drain(drain.signal());
    let traffic = tunnel.run().await.unwrap();
    assert_eq!((traffic.end(), traffic.from_downstream()), (End::Drained, 5));
    let mut received = String::new();
    origin.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "early");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_ended_does_not_hear_it() {
    let (client, tunnel, origin) = table();
    let drain = Drain::new();
    let tunnel = tokio::spawn(tunnel.drain(drain.signal()).run());
    drop((client, origin));
    assert!(matches!(tunnel.await.unwrap().unwrap().end(), End::Closed { .. }));
    drain.complete_now();
}

#[tokio::test(start_paused = true)]
async fn a_spread_is_even() {
    let drain = Drain::new();
    let waiting = tokio::spawn(turns((0..100).map(|_| drain.signal()).collect::<Vec<_>>()));
    settle().await;
    drain.start(Schedule::default().grace(seconds(5)).spread(seconds(10)));
    for (index, turn) in waiting.await.unwrap().into_iter().enumerate() {
        let expected = seconds(5) + Duration::from_millis(100) * index as u32;
        let off = turn.max(expected) - turn.min(expected);
        // The runtime's timers are as fine as this.
        assert!(off <= Duration::from_millis(2), "{index}: {turn:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spread_is_even_among_those_who_are_left() {
    let drain = Drain::new();
    let mut waiters: Vec<_> = (0..1000).map(|_| drain.signal()).collect();
    let mut waiting = JoinSet::new();
    for index in (0..1000).rev() {
        let mut waiter = waiters.pop().unwrap();
        assert!(poll(&mut waiter, Waker::noop()).is_pending());
        // Nine of ten leave before it starts.
        if index % 10 == 0 {
            waiting.spawn(turns([waiter]));
        }
    }
    settle().await;
    drain.start(Schedule::default().spread(seconds(100)));
    let mut turns: Vec<_> = waiting.join_all().await.concat();
    turns.sort();
    let distances: Vec<_> = turns
        .windows(2)
        .map(|two| (two[1] - two[0]).as_millis())
        .collect();
    assert!(
        distances.iter().all(|distance| (998..=1002).contains(distance)),
        "{distances:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_later_has_a_turn_in_what_is_left() {
    for (after, earliest, latest) in [
        (0, 10, 70),
        (5, 5, 65),
        (10, 0, 60),
        (40, 0, 30),
        (70, 0, 0),
        (99, 0, 0),
    ] {
        let drain = Drain::new();
        drain.start(Schedule::default().grace(seconds(10)).spread(seconds(60)));
        sleep(seconds(after)).await;
        let turns = turns((0..50).map(|_| drain.signal())).await;
        assert!(turns[0] >= seconds(earliest), "{after}: {turns:?}");
        assert!(
            turns[49] <= seconds(latest) + Duration::from_millis(2),
            "{after}: {turns:?}"
        );
        // Spread there too, though nobody knew how many would come: each tenth of the time has some of them.
        let time = seconds(latest - earliest);
        for tenth in 0..10 {
            let tenth = seconds(earliest) + time * tenth / 10..seconds(earliest) + time * (tenth + 1) / 10;
            let count = turns
                .iter()
                .filter(|turn| tenth.contains::<Duration>(turn))
                .count();
            assert!(
                time.is_zero() || (3..=7).contains(&count),
                "{after}, {tenth:?}: {turns:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_start_hastens_and_never_delays() {
    let drain = Drain::new();
    let waiting = tokio::spawn(turns([drain.signal(), drain.signal()]));
    settle().await;
    drain.start(Schedule::default().grace(seconds(100)).spread(seconds(100)));
    settle().await;
    drain.start(Schedule::default().grace(seconds(500)));
    drain.start(Schedule::default().grace(seconds(10)).spread(seconds(1000)));
    // From ten seconds on, as the last has said, until two hundred, as the first has.
    let turns = waiting.await.unwrap();
    assert_eq!([turns[0].as_secs(), turns[1].as_secs()], [10, 105]);
}

#[tokio::test(start_paused = true)]
async fn complete_now_leaves_nobody_waiting() {
    let drain = Drain::new();
    let waiting = tokio::spawn(turns((0..100).map(|_| drain.signal()).collect::<Vec<_>>()));
    settle().await;
    drain.start(Schedule::default().grace(Duration::MAX).spread(Duration::MAX));
    sleep(seconds(1_000_000)).await;
    assert!(!waiting.is_finished());
    drain.complete_now();
    let turns = waiting.await.unwrap();
    assert_eq!(turns[0].as_secs(), 1_000_000);
    assert_eq!(turns[0], turns[99]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_start_does_not_wait_for_the_schedule() {
    let drain = Drain::new();
    let waiting = tokio::spawn(turns([drain.started(), drain.started()]));
    settle().await;
    assert!(!drain.has_started() && !waiting.is_finished());
    drain.start(Schedule::default().grace(seconds(60)));
    assert!(drain.has_started());
    assert_eq!(waiting.await.unwrap(), [Duration::ZERO; 2]);
    assert_eq!(turns([drain.started()]).await, [Duration::ZERO]);
}

#[test]
fn without_a_schedule_it_needs_no_runtime() {
    let (count, drain) = (Arc::new(Count::default()), Drain::new());
    let waker = Waker::from(count.clone());
    let (mut signal, mut started) = (drain.signal(), drain.started());
    for _ in 0..3 {
        assert!(poll(&mut signal, &waker).is_pending() && poll(&mut started, &waker).is_pending());
    }
    drain.complete_now();
    drain.complete_now();
    assert_eq!(count.0.load(Ordering::SeqCst), 2, "each is woken once");
    assert!(poll(&mut signal, &waker).is_ready() && poll(&mut started, &waker).is_ready());
}

#[test]
fn no_waker_is_left_behind() {
    let (count, drain) = (Arc::new(Count::default()), Drain::new());
    let waker = Waker::from(count.clone());
    let mut signals: Vec<_> = (0..1000).map(|_| drain.signal()).collect();
    for signal in &mut signals {
        assert!(poll(signal, &waker).is_pending());
    }
    assert_eq!(Arc::strong_count(&count), 2 + 1000, "one for each");
    signals.truncate(500);
    assert_eq!(Arc::strong_count(&count), 2 + 500);
    for signal in &mut signals {
        assert!(poll(signal, Waker::noop()).is_pending());
    }
    assert_eq!(
        Arc::strong_count(&count),
        2,
        "the newer waker has taken its place"
    );
    for signal in &mut signals {
        assert!(poll(signal, &waker).is_pending());
    }
    drain.complete_now();
    for signal in &mut signals {
        assert!(poll(signal, &waker).is_ready());
    }
    assert_eq!(
        Arc::strong_count(&count),
        2,
        "a completed drain waits for nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_moves_to_another_task_is_woken_there() {
    for moves_while_its_turn_comes in [false, true] {
        let drain = Drain::new();
        let mut signal = drain.signal();
        let schedule = Schedule::default().grace(seconds(10));
        let first = tokio::spawn(async move {
            let waited = poll_fn(|cx| Poll::Ready(Pin::new(&mut signal).poll(cx))).await;
            assert!(waited.is_pending());
            [signal]
        });
        let [mut signal] = first.await.unwrap();
        if moves_while_its_turn_comes {
            drain.start(schedule);
            let task = tokio::spawn(async move {
                assert!(timeout(seconds(3), &mut signal).await.is_err());
                [signal]
            });
            [signal] = task.await.unwrap();
        }
        let second = tokio::spawn(signal);
        settle().await;
        drain.start(schedule);
        timeout(seconds(11), second).await.expect("it is woken").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_wait_on_many_threads_while_others_come_and_go() {
    let drain = Drain::new();
    let mut tasks: JoinSet<_> = (0..20_000).map(|_| drain.signal()).collect();
    for turn in 0..20_000 {
        let (signal, started) = (drain.signal(), drain.started());
        tasks.spawn(async move {
            let _ = timeout(Duration::from_micros(turn), signal).await;
        });
        tasks.spawn(started);
        if turn == 10_000 {
            drain.start(Schedule::default().spread(Duration::from_millis(200)));
        }
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    timeout(seconds(30), all).await.expect("everyone is woken");
}
