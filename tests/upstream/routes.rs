//! Several routes to one group: what each has for itself, and what they share.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use switchover::connect::{AttemptOutcome, Attempts, Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::upstream::{Balance, Group, Retry, ServerConnector};
use tokio::io::DuplexStream;

use crate::fake::{Does, Fake, choose, connect, connect_for, head};

fn pair() -> (Fake, Fake, Group<Fake>) {
    let (one, two) = (Fake::new("one"), Fake::new("two"));
    let group = Group::of([one.server(), two.server()]);
    (one, two, group)
}

#[tokio::test]
async fn turns_tunnels_and_health_are_one() {
    let (one, two, group) = pair();
    let other = group.retry(Retry::never());
    let _first = connect(&group).await.unwrap();
    let _second = connect(&other).await.unwrap();
    assert_eq!((one.asked(), two.asked()), (1, 1), "in turns");
    let tunnels =
        |group: &Group<Fake>| -> usize { group.servers().iter().map(|server| server.tunnels).sum() };
    assert_eq!((tunnels(&group), tunnels(&other)), (2, 2));
    one.now(Does::Refuses);
    connect(&other).await.unwrap_err();
    one.asked();
    for _ in 0..4 {
        connect(&group).await.unwrap();
    }
    assert_eq!((one.asked(), two.asked()), (0, 4), "out for all");
}

#[tokio::test]
async fn each_goes_on_by_its_own_rule() {
    let (one, two, group) = pair();
    one.now(Does::Refuses);
    two.now(Does::Refuses);
    let asked = || one.asked() + two.asked();
    connect(&group.retry(Retry::never())).await.unwrap_err();
    assert_eq!(asked(), 1);
    connect(&group).await.unwrap_err();
    assert_eq!(asked(), 2);
    // What a request has had under one rule it does not get under another.
    let attempts = Attempts::default();
    connect_for(&group.retry(Retry::default().max_attempts(1)), &attempts)
        .await
        .unwrap_err();
    connect_for(&group, &attempts).await.unwrap_err();
    assert_eq!(attempts.count(), 2);
    assert_eq!((one.asked(), two.asked()), (1, 1));
}

#[tokio::test]
async fn attempts_are_heard_of_by_the_route_that_they_were_made_for() {
    let (one, _two, group) = pair();
    let received = Arc::new(Mutex::new(Vec::new()));
    let listening = received.clone();
    let route = group.on_attempt(move |attempt| {
        let (server, outcome) = (attempt.server.to_owned(), attempt.outcome);
        listening.lock().unwrap().push((server, outcome));
    });
    let taken = || std::mem::take(&mut *received.lock().unwrap());
    one.now(Does::Refuses);
    connect(&route).await.unwrap();
    let expected = [
        ("one".to_owned(), AttemptOutcome::Failed),
        ("two".to_owned(), AttemptOutcome::Connected),
    ];
    assert_eq!(taken(), expected);
    connect(&group).await.unwrap();
    assert_eq!(taken(), []);
    // One that was chosen, and of which nobody says how it went on.
    let attempts = Attempts::default();
    choose(&route, &attempts).await.unwrap();
    drop(attempts);
    assert_eq!(taken(), [("two".to_owned(), AttemptOutcome::GivenUp)]);
}

/// Connects, and says so in front.
struct Greeting;

impl ServerConnector<Fake> for Greeting {
    type Stream = DuplexStream;

    async fn connect(
        &self,
        server: &Fake,
        request: ConnectRequest<'_>,
    ) -> Result<DuplexStream, ConnectError> {
        let _ = server.connect(request).await?;
        Err(ConnectError::Unsuited("greeted".into()))
    }
}

#[tokio::test]
async fn each_connects_in_its_own_way() {
    let (one, two, group) = pair();
    let route = group.connect_with(Greeting);
    let head = head();
    let request = ConnectRequest::new(&head, Hop::unknown());
    let error = route.connect(request).await.unwrap_err();
    assert!(error.to_string().contains("greeted"), "{error}");
    assert_eq!(
        one.asked() + two.asked(),
        1,
        "another server would suit no better"
    );
    // Its connections are not said to be alike; those of the others still are.
    assert!(route.pool_key(request).await.is_none());
    assert!(group.pool_key(request).await.is_some());
    connect(&group).await.unwrap();
}

#[tokio::test]
async fn ordinary_requests_count_where_they_are_wanted_to() {
    let (one, two) = (Fake::new("one"), Fake::new("two"));
    let group = Group::builder()
        .server(one.server().max_tunnels(1))
        .server(two.server().max_tunnels(1))
        .balance(Balance::LeastTunnels)
        .count_requests()
        .build();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = kept.clone();
    let route = group.on_attempt(move |attempt| keeping.lock().unwrap().extend(attempt.take_permit()));
    let open = || -> Vec<usize> { group.servers().iter().map(|server| server.tunnels).collect() };

    let (first, second, third) = (Attempts::default(), Attempts::default(), Attempts::default());
    choose(&group, &first).await.unwrap();
    let _tunnel = connect_for(&group, &second).await.unwrap();
    assert_eq!(open(), [1, 1]);
    assert!(choose(&group, &third).await.is_none(), "all are full");
    // With the head of its answer it goes, however long its caller has the attempts.
    first.end(AttemptOutcome::Answered(StatusCode::OK));
    assert_eq!(open(), [0, 1]);
    // Unless somebody knows that there is more to come.
    choose(&route, &third).await.unwrap();
    third.end(AttemptOutcome::Answered(StatusCode::OK));
    drop(third);
    assert_eq!(open(), [1, 1]);
    kept.lock().unwrap().clear();
    assert_eq!(open(), [0, 1]);
    // One that has failed does not count there while the next server is asked.
    let failing = Attempts::default();
    choose(&group, &failing).await.unwrap();
    failing.end(AttemptOutcome::Failed);
    assert_eq!(open(), [0, 1]);
}
