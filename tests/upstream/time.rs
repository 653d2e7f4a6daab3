//! What one server may take of the time of all.

use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::upstream::{Group, Health, Retry};
use tokio::time::{Instant, timeout_at};

use crate::fake::{Does, Fake, connect, head};
use crate::{milliseconds, seconds};

fn three(does: [Does; 3]) -> ([Fake; 3], Group<Fake>) {
    let fakes = ["one:80", "two:80", "three:80"].map(Fake::new);
    for (fake, does) in fakes.iter().zip(does) {
        fake.now(does);
    }
    let group = Group::of(fakes.each_ref().map(Fake::server));
    (fakes, group)
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_has_three_seconds() {
    let (fakes, group) = three([Does::Hangs, Does::Accepts, Does::Accepts]);
    let since = Instant::now();
    connect(&group).await.unwrap();
    assert_eq!(since.elapsed(), seconds(3));
    assert_eq!(fakes[0].asked(), 1);
    // And is out then.
    let since = Instant::now();
    for _ in 0..10 {
        connect(&group).await.unwrap();
    }
    assert_eq!((since.elapsed(), fakes[0].asked()), (seconds(0), 0));
    assert!(matches!(
        group.servers()[0].health,
        Health::Ejected { times: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn no_server_has_more_than_half_of_what_is_left_but_the_last() {
    let hanging = [Does::Hangs; 2];
    for (last, limit, expected) in [
        (Does::Accepts, 2000, 1500),
        (Does::AcceptsAfter(milliseconds(400)), 2000, 1900),
        (Does::Accepts, 60_000, 6000),
        (Does::AcceptsAfter(seconds(50)), 60_000, 56_000),
    ] {
        let (_, group) = three([hanging[0], hanging[1], last]);
        let head = head();
        let since = Instant::now();
        let deadline = since + milliseconds(limit);
        let request = ConnectRequest::new(&head, Hop::unknown()).until(deadline);
        let stream = timeout_at(deadline, group.connect(request)).await;
        stream.expect("within the deadline").unwrap();
        assert_eq!(since.elapsed(), milliseconds(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_alone_has_all_the_time_that_the_caller_gives() {
    let fake = Fake::new("one:80");
    fake.now(Does::AcceptsAfter(seconds(100)));
    let group = Group::of([fake.server()]);
    connect(&group).await.unwrap();
}

/// By the first of two servers, whether connections to it are shared or not.
#[tokio::test(start_paused = true)]
async fn one_that_is_down_takes_no_time_from_the_other() {
    for (down, expected) in [(false, Err(seconds(3))), (true, Ok(seconds(50)))] {
        for pools in [false, true] {
            let (fakes, group) = three([Does::AcceptsAfter(seconds(50)), Does::Refuses, Does::Refuses]);
            for fake in &fakes[1..] {
                assert!(group.set_down(fake.name, down));
            }
            let (head, since) = (head(), Instant::now());
            let request = ConnectRequest::new(&head, Hop::unknown()).until(since + seconds(60));
            let connected = match pools {
                true => {
                    let key = group.pool_key(request).await.unwrap();
                    group.connect(request.pooled(key)).await
                }
                false => group.connect(request).await,
            };
            let took = since.elapsed();
            let took = connected.map(|_| took).map_err(|_| took);
            assert_eq!(took, expected, "down: {down}, pools: {pools}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_for_time_says_so() {
    let fakes = ["one:80", "two:80"].map(Fake::new);
    fakes.iter().for_each(|fake| fake.now(Does::Hangs));
    let group = fakes
        .iter()
        .fold(Group::builder(), |group, fake| group.server(fake.server()))
        .connect_timeout(seconds(1))
        .retry(Retry::default().timeouts(false))
        .build();
    let since = Instant::now();
    let error = connect(&group).await.unwrap_err();
    assert_eq!(since.elapsed(), seconds(1));
    let ConnectError::Failed { name, error: source } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (name.as_str(), source.kind()),
        ("one:80", std::io::ErrorKind::TimedOut)
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_time_limit_no_other_server_is_tried() {
    let fakes = ["one:80", "two:80", "three:80"].map(Fake::new);
    fakes.iter().for_each(|fake| fake.now(Does::Hangs));
    let group = fakes
        .iter()
        .fold(Group::builder(), |group, fake| group.server(fake.server()))
        .retry(Retry::default().time_limit(seconds(5)))
        .build();
    let since = Instant::now();
    assert!(connect(&group).await.is_err());
    assert_eq!(since.elapsed(), seconds(6));
    assert_eq!(fakes.each_ref().map(Fake::asked), [1, 1, 0]);
}
