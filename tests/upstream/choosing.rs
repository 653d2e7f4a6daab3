//! Which server a request gets, as far as servers in memory can show it.

use http::Request;
use switchover::connect::{AttemptOutcome, Attempts, Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::tunnel::Cap;
use switchover::upstream::{Balance, Group, Key, Retry, Server};

use crate::fake::{Does, Fake, choose, connect, connect_for};

fn fakes() -> [Fake; 3] {
    ["one:80", "two:80", "three:80"].map(Fake::new)
}

fn asked(fakes: &[Fake; 3]) -> [usize; 3] {
    fakes.each_ref().map(Fake::asked)
}

#[tokio::test]
async fn each_as_often_as_its_weight() {
    let fakes = fakes();
    let weights = [3, 2, 1];
    let servers = fakes
        .iter()
        .zip(weights)
        .map(|(fake, weight)| fake.server().weight(weight));
    let group = Group::of(servers);
    for _ in 0..5 {
        for _ in 0..6 {
            connect(&group).await.unwrap();
        }
        assert_eq!(asked(&fakes), [3, 2, 1], "in every period");
    }
}

#[tokio::test]
async fn the_fewest_tunnels_that_are_open_now() {
    let fakes = fakes();
    let group = fakes
        .iter()
        .fold(Group::builder(), |group, fake| group.server(fake.server()))
        .balance(Balance::LeastTunnels)
        .build();
    let mut streams = Vec::new();
    for _ in 0..30 {
        let stream = connect(&group).await.unwrap();
        streams.push((stream, asked(&fakes)));
    }
    let of = |server: [usize; 3]| streams.iter().filter(|(_, of)| *of == server).count();
    assert_eq!([of([1, 0, 0]), of([0, 1, 0]), of([0, 0, 1])], [10, 10, 10]);
    // All tunnels of one end: it gets those that come until it has caught up.
    streams.retain(|(_, of)| *of != [0, 1, 0]);
    for _ in 0..9 {
        let stream = connect(&group).await.unwrap();
        streams.push((stream, asked(&fakes)));
        assert_eq!(streams.last().unwrap().1, [0, 1, 0]);
    }
    drop(streams);
    assert!(group.servers().iter().all(|server| server.tunnels == 0));
}

#[tokio::test]
async fn a_backup_gets_what_no_other_can() {
    let [one, two, backup] = fakes();
    let group = Group::of([
        one.server().max_fails(1),
        two.server().max_fails(1),
        backup.server().backup(),
    ]);
    let all = [one.clone(), two.clone(), backup.clone()];
    for _ in 0..4 {
        connect(&group).await.unwrap();
    }
    assert_eq!(asked(&all), [2, 2, 0]);
    one.now(Does::Refuses);
    for _ in 0..4 {
        connect(&group).await.unwrap();
    }
    assert_eq!(asked(&all), [1, 4, 0], "one failure, and it is out");
    two.now(Does::Refuses);
    for _ in 0..4 {
        connect(&group).await.unwrap();
    }
    assert_eq!(asked(&all), [0, 1, 4]);
    backup.now(Does::Refuses);
    assert!(connect(&group).await.is_err());
    assert_eq!(asked(&all), [1, 1, 1], "all are out, so all are tried");
}

#[tokio::test]
async fn a_full_server_is_passed_over_and_where_all_are_full_that_is_said() {
    let [one, two, _] = fakes();
    let group = Group::of([one.server().max_tunnels(2), two.server().max_tunnels(1)]);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(connect(&group).await.unwrap());
    }
    assert_eq!((one.asked(), two.asked()), (2, 1));
    assert!(matches!(connect(&group).await, Err(ConnectError::Full)));
    // An ordinary request is no tunnel, and has room.
    let attempts = Attempts::default();
    assert!(choose(&group, &attempts).await.is_some());
    streams.pop();
    streams.push(connect(&group).await.unwrap());
    let status = group.servers();
    let counts: Vec<_> = status
        .iter()
        .map(|server| (server.tunnels, server.max_tunnels))
        .collect();
    assert_eq!(counts, [(2, Some(2)), (1, Some(1))]);
}

#[tokio::test]
async fn groups_that_share_a_cap_count_together() {
    let fake = Fake::new("one:80");
    let cap = Cap::new(1);
    let groups = [(); 2].map(|()| Group::of([fake.server().cap(cap.clone())]));
    let stream = connect(&groups[0]).await.unwrap();
    assert!(matches!(connect(&groups[1]).await, Err(ConnectError::Full)));
    drop(stream);
    connect(&groups[1]).await.unwrap();
}

#[tokio::test]
async fn a_group_without_servers() {
    let group = Group::of(Vec::<Server<Fake>>::new());
    assert!(matches!(connect(&group).await, Err(ConnectError::NoUpstream)));
    assert!(choose(&group, &Attempts::default()).await.is_none());
}

#[tokio::test]
async fn no_server_is_tried_twice_for_a_request() {
    let fakes = fakes();
    let group = Group::of(fakes.each_ref().map(|fake| fake.server().max_fails(0)));
    let attempts = Attempts::default();
    for expected in [true, true, false] {
        connect_for(&group, &attempts).await.unwrap();
        assert_eq!(attempts.end(AttemptOutcome::Invalid), expected);
    }
    assert_eq!(asked(&fakes), [1, 1, 1]);
    let none = connect_for(&group, &attempts).await;
    assert!(matches!(none, Err(ConnectError::NoUpstream)), "{none:?}");

    fakes.iter().for_each(|fake| fake.now(Does::Refuses));
    assert!(matches!(connect(&group).await, Err(ConnectError::Failed { .. })));
    assert_eq!(asked(&fakes), [1, 1, 1]);
}

#[tokio::test]
async fn no_more_servers_than_allowed() {
    for (retry, expected) in [
        (Retry::default().max_attempts(2), 2),
        (Retry::never(), 1),
        (Retry::default().errors(false), 1),
    ] {
        let fakes = fakes();
        fakes.iter().for_each(|fake| fake.now(Does::Refuses));
        let group = fakes
            .iter()
            .fold(Group::builder(), |group, fake| group.server(fake.server()));
        let group = group.retry(retry).build();
        assert!(connect(&group).await.is_err());
        assert_eq!(asked(&fakes).iter().sum::<usize>(), expected);
    }
}

/// The server of each of a thousand sessions.
async fn owners(group: &Group<Fake>) -> Vec<Option<String>> {
    let mut owners = Vec::new();
    for session in 0..1000 {
        let head = Request::get("/").header("cookie", format!("a=b; session={session}"));
        let head = head.body(()).unwrap().into_parts().0;
        let before = group.servers();
        let stream = group.connect(ConnectRequest::new(&head, Hop::unknown())).await;
        let after = group.servers();
        let mut changed = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one.tunnels < other.tunnels);
        owners.push(changed.next().map(|(server, _)| server.name.clone()));
        drop(stream);
    }
    owners
}

#[tokio::test]
async fn sessions_stay_and_move_only_where_they_must() {
    let [one, two, three] = fakes();
    let by_session = || Group::builder().balance(Balance::Hash(Key::Cookie("session".to_owned())));
    let both = by_session().server(one.server()).server(two.server()).build();
    let all = by_session()
        .server(three.server())
        .server(one.server())
        .server(two.server())
        .build();
    let (of_two, of_three) = (owners(&both).await, owners(&all).await);
    assert_eq!(of_three, owners(&all).await);
    let moved = of_two.iter().zip(&of_three).filter(|(was, is)| was != is);
    let moved: Vec<_> = moved.map(|(_, is)| is.as_deref()).collect();
    assert!(
        moved.iter().all(|is| *is == Some("three:80")),
        "only to the new one"
    );
    assert!(
        (250..420).contains(&moved.len()),
        "about a third: {}",
        moved.len()
    );

    // One that is out lends its sessions to the others, and has them back.
    one.now(Does::Refuses);
    let without = owners(&all).await;
    for (was, is) in of_three.iter().zip(&without) {
        assert!(is.as_deref() != Some("one:80") && (was == is || was.as_deref() == Some("one:80")));
    }
}

#[tokio::test]
async fn requests_without_the_key_take_turns() {
    let fakes = fakes();
    let group = fakes
        .iter()
        .fold(Group::builder(), |group, fake| group.server(fake.server()))
        .balance(Balance::Hash(Key::Query("room".to_owned())))
        .build();
    for _ in 0..9 {
        connect(&group).await.unwrap();
    }
    assert_eq!(asked(&fakes), [3, 3, 3]);
}

#[tokio::test]
async fn a_place_is_chosen_only_where_connections_are_alike() {
    let [one, mut two, _] = fakes();
    let group = Group::of([one.server(), two.server()]);
    let attempts = Attempts::default();
    let first = choose(&group, &attempts).await.unwrap();
    let second = choose(&group, &attempts).await.unwrap();
    assert_ne!(first, second);
    let head = crate::fake::head();
    for (place, expected) in [(first, (1, 0)), (second, (0, 1)), (second, (0, 1))] {
        let request = ConnectRequest::new(&head, Hop::unknown()).pooled(place);
        let stream = group.connect(request).await.unwrap();
        assert_eq!((one.asked(), two.asked()), expected);
        assert!(group.servers().iter().all(|server| server.tunnels == 0));
        drop(stream);
    }
    two.pooling = switchover::connect::Pooling::Never;
    let mixed = Group::of([one.server(), two.server()]);
    let attempts = Attempts::default();
    assert!(choose(&mixed, &attempts).await.is_none());
    assert_eq!(attempts.count(), 0, "nothing has begun");
}

#[tokio::test]
async fn a_group_in_a_group() {
    let [one, two, three] = fakes();
    let inner = Group::of([one.server(), two.server()]);
    let outer = Group::of([
        Server::new("inner", inner.clone()),
        Server::new("other", Group::of([three.server()])),
    ]);
    one.now(Does::Refuses);
    two.now(Does::Refuses);
    let head = crate::fake::head();
    let stream = outer.connect(ConnectRequest::new(&head, Hop::unknown())).await;
    let tunnels = |group: &[switchover::upstream::ServerStatus]| -> Vec<usize> {
        group.iter().map(|server| server.tunnels).collect()
    };
    assert_eq!(tunnels(&outer.servers()), [0, 1]);
    assert_eq!(tunnels(&inner.servers()), [0, 0]);
    assert_eq!((one.asked(), two.asked(), three.asked()), (1, 1, 1));
    drop(stream.unwrap());
    assert_eq!(tunnels(&outer.servers()), [0, 0]);
}
