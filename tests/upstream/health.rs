//! Who gets no request, and who gets one again.

use std::time::Duration;

use http::StatusCode;
use switchover::connect::{AttemptOutcome, Attempts};
use switchover::upstream::{Group, Health, Retry};
use tokio::time::advance;

use crate::fake::{Does, Fake, choose, connect, connect_for};
use crate::seconds;

fn pair() -> (Fake, Fake, Group<Fake>) {
    let (bad, good) = (Fake::new("bad:80"), Fake::new("good:80"));
    let group = Group::of([bad.server().max_fails(2), good.server()]);
    (bad, good, group)
}

async fn requests(group: &Group<Fake>, count: usize) {
    for _ in 0..count {
        connect(group).await.unwrap();
    }
}

/// How long the first server is out yet, and how many times in a row it has been.
fn out(group: &Group<Fake>) -> (Duration, u32) {
    match group.servers()[0].health {
        Health::Ejected { remaining, times } => (remaining, times),
        health => panic!("{health:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_out_for_longer_each_time_and_comes_back_with_one_success() {
    let (bad, good, group) = pair();
    bad.now(Does::Refuses);
    requests(&group, 20).await;
    assert_eq!((bad.asked(), good.asked()), (2, 20), "nobody has noticed");
    for (times, nominal) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 120), (6, 120)] {
        let (left, counted) = out(&group);
        assert_eq!(counted, times);
        let (least, most) = (seconds(nominal * 3) / 4, seconds(nominal * 5) / 4);
        assert!(left >= least && left <= most, "{left:?} of {nominal} s");
        advance(left - Duration::from_millis(1)).await;
        requests(&group, 4).await;
        assert_eq!(bad.asked(), 0, "not before the deadline");
        advance(Duration::from_millis(1)).await;
        assert_eq!(group.servers()[0].health, Health::Probing { times });
        requests(&group, 4).await;
        assert_eq!(bad.asked(), 1, "one request tries");
    }
    advance(out(&group).0).await;
    bad.now(Does::Accepts);
    good.asked();
    requests(&group, 4).await;
    assert_eq!((bad.asked(), good.asked()), (2, 2));
    assert_eq!(group.servers()[0].health, Health::Healthy);
    let status = &group.servers()[0];
    assert_eq!((status.tried, status.failed), (2 + 6 + 2, 2 + 6));
}

#[tokio::test(start_paused = true)]
async fn while_one_request_tries_whether_it_is_back_the_others_go_elsewhere() {
    let (bad, spare) = (Fake::new("bad:80"), Fake::new("spare:80"));
    let group = Group::of([bad.server(), spare.server().backup()]);
    bad.now(Does::Refuses);
    requests(&group, 4).await;
    assert_eq!((bad.asked(), spare.asked()), (1, 4));
    advance(out(&group).0).await;
    bad.now(Does::Accepts);
    let trying = Attempts::default();
    let stream = connect_for(&group, &trying).await.unwrap();
    assert_eq!((bad.asked(), spare.asked()), (1, 0));
    // Connected, and not answered yet.
    requests(&group, 6).await;
    assert_eq!((bad.asked(), spare.asked()), (0, 6));
    // A client that leaves says nothing of it, and lets another one try.
    drop((stream, trying));
    assert_eq!(group.servers()[0].health, Health::Probing { times: 1 });
    requests(&group, 2).await;
    assert_eq!((bad.asked(), spare.asked()), (2, 0));
    assert_eq!(group.servers()[0].health, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_while_it_connects_says_nothing() {
    let (bad, _good, group) = pair();
    bad.now(Does::Hangs);
    for _ in 0..10 {
        let given_up = tokio::time::timeout(seconds(1), connect(&group)).await;
        drop(given_up);
    }
    let status = &group.servers()[0];
    assert_eq!(
        (status.health, status.failed, status.tunnels),
        (Health::Healthy, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_connection_counts_as_well() {
    let unavailable = AttemptOutcome::Answered(StatusCode::SERVICE_UNAVAILABLE);
    for (outcome, statuses, counts) in [
        (AttemptOutcome::Failed, vec![], true),
        (AttemptOutcome::TimedOut, vec![], true),
        (AttemptOutcome::Invalid, vec![], true),
        (AttemptOutcome::Stale, vec![], false),
        (AttemptOutcome::GivenUp, vec![], false),
        (unavailable, vec![], false),
        (unavailable, vec![StatusCode::SERVICE_UNAVAILABLE], true),
    ] {
        let fake = Fake::new("one:80");
        let retry = Retry::default().statuses(statuses);
        let group = Group::builder().server(fake.server()).retry(retry).build();
        for is_tunnel in [true, false] {
            let attempts = Attempts::default();
            match is_tunnel {
                true => drop(connect_for(&group, &attempts).await.unwrap()),
                false => drop(choose(&group, &attempts).await.unwrap()),
            }
            assert!(!attempts.end(outcome), "there is no other");
            let is_out = matches!(group.servers()[0].health, Health::Ejected { times: 1, .. });
            assert_eq!(is_out, counts, "{outcome:?}");
            let attempts = Attempts::default();
            connect_for(&group, &attempts).await.unwrap();
            attempts.end(AttemptOutcome::Answered(StatusCode::FORBIDDEN));
            assert_eq!(group.servers()[0].health, Health::Healthy, "any answer is one");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_are_out_all_are_tried() {
    let fakes = ["one:80", "two:80", "three:80"].map(Fake::new);
    let group = Group::of(fakes.each_ref().map(Fake::server));
    fakes.iter().for_each(|fake| fake.now(Does::Refuses));
    for _ in 0..5 {
        assert!(connect(&group).await.is_err());
        assert_eq!(fakes.each_ref().map(Fake::asked), [1, 1, 1]);
    }
    let times = group.servers().into_iter().map(|server| server.health);
    assert!(
        times
            .into_iter()
            .all(|health| matches!(health, Health::Ejected { times: 1, .. })),
        "what is sent because all are out makes nothing longer"
    );
    fakes[1].now(Does::Accepts);
    connect(&group).await.unwrap();
    assert_eq!(group.servers()[1].health, Health::Healthy);
}
