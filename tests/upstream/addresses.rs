//! Servers that are found by a name or in another way: what becomes of a group when the answer changes, or there is none.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use switchover::connect::{AttemptOutcome, Attempts, ConnectError};
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server};
use tokio::time::{Instant, advance};

use crate::door::{DOORS, Door};
use crate::fake::{Fake, choose, connect, connect_for};
use crate::{milliseconds, seconds};

/// What the one who knows the addresses says.
#[derive(Clone)]
enum Says {
    Addresses(Vec<SocketAddr>),
    Error,
    NothingAtAll,
}

/// Someone who knows the addresses, and counts how often it was asked. Clones are the same one.
#[derive(Clone)]
struct Registry {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

impl Registry {
    fn new(last: &[u8]) -> Self {
        let registry = Registry {
            says: Arc::new(Mutex::new(Says::NothingAtAll)),
            asked: Arc::default(),
        };
        registry.now(last);
        registry
    }

    fn now(&self, last: &[u8]) {
        self.says(Says::Addresses(last.iter().copied().map(address).collect()));
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    async fn answer(self) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let says = self.says.lock().unwrap().clone();
        match says {
            Says::Addresses(addresses) => Ok(addresses),
            Says::Error => Err(io::Error::other("no answer from the registry")),
            Says::NothingAtAll => std::future::pending().await,
        }
    }

    /// A group of the servers that it knows, asked for every ten seconds.
    fn group(&self) -> Group<Fake> {
        let registry = self.clone();
        let make = |address: SocketAddr| Server::new(address.to_string(), Fake::new("found"));
        Group::builder()
            .discover("registry", move || registry.clone().answer(), seconds(10), make)
            .build()
    }
}

/// The last numbers of the servers' addresses.
fn servers(group: &Group<Fake>) -> Vec<String> {
    let servers = group.servers();
    let last = |name: &str| {
        name.trim_start_matches("10.0.0.")
            .trim_end_matches(":80")
            .to_owned()
    };
    servers.iter().map(|server| last(&server.name)).collect()
}

#[tokio::test(start_paused = true)]
async fn servers_come_and_go_and_those_that_stay_are_what_they_were() {
    let registry = Registry::new(&[2, 1, 2]);
    let group = registry.group();
    assert!(servers(&group).is_empty(), "nobody has asked");
    let stream = connect(&group).await.unwrap();
    for _ in 0..5 {
        connect(&group).await.unwrap();
    }
    assert_eq!(
        (servers(&group), registry.asked()),
        (vec!["1".into(), "2".into()], 1)
    );
    let attempts = Attempts::default();
    connect_for(&group, &attempts).await.unwrap();
    attempts.end(AttemptOutcome::Failed);
    let failed = |group: &Group<Fake>| -> u64 { group.servers().iter().map(|server| server.failed).sum() };
    assert_eq!(failed(&group), 1);

    registry.now(&[3, 2, 1]);
    advance(seconds(9)).await;
    connect(&group).await.unwrap();
    assert_eq!(
        (servers(&group).len(), registry.asked()),
        (2, 0),
        "not before the deadline"
    );
    advance(seconds(1)).await;
    connect(&group).await.unwrap();
    assert_eq!((servers(&group).join(""), registry.asked()), ("123".into(), 1));
    assert_eq!((failed(&group), tunnels(&group)), (1, 1));

    registry.now(&[3]);
    advance(seconds(10)).await;
    choose(&group, &Attempts::default()).await.unwrap();
    assert_eq!(servers(&group), ["3"], "asked for ordinary requests too");
    // Its server is gone, and it goes on.
    drop(stream);
    registry.now(&[]);
    advance(seconds(10)).await;
    assert!(matches!(connect(&group).await, Err(ConnectError::NoUpstream)));
}

fn tunnels(group: &Group<Fake>) -> usize {
    group.servers().iter().map(|server| server.tunnels).sum()
}

#[tokio::test]
async fn requests_that_ask_at_the_same_time_find_each_server_once() {
    // A second request runs from its beginning to its end while the first one makes the first server that it has found: it asks
    // too, has the same answer, and adds the servers before the first one does. `make` blocks a thread, so no task is waited for.
    let second = Arc::new(Mutex::new(None::<Group<Fake>>));
    let asked = Arc::new(AtomicUsize::new(0));
    let find = {
        let asked = asked.clone();
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Ok(vec![address(1), address(2)]) }
        }
    };
    let make = {
        let second = second.clone();
        move |address: SocketAddr| {
            let group = second.lock().unwrap().take();
            if let Some(group) = group {
                let request = pin!(connect(&group));
                let connected = request.poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(connected, Poll::Ready(Ok(_))), "{connected:?}");
                assert_eq!(servers(&group).join(""), "12");
            }
            Server::new(address.to_string(), Fake::new("found"))
        }
    };
    let group = Group::builder()
        .discover("registry", find, seconds(10), make)
        .build();
    *second.lock().unwrap() = Some(group.clone());
    connect(&group).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "both have asked");
    assert_eq!(servers(&group).join(""), "12");
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_former_one_holds() {
    let registry = Registry::new(&[1]);
    let group = registry.group();
    connect(&group).await.unwrap();
    registry.says(Says::Error);
    advance(seconds(10)).await;
    for _ in 0..5 {
        connect(&group).await.unwrap();
    }
    assert_eq!(registry.asked(), 2, "once, and once again");
    let source = &group.sources()[0];
    assert_eq!(source.name, "registry");
    let failure = source.failure.as_deref().unwrap();
    assert!(
        failure.contains("registry") && failure.contains("no answer from"),
        "{failure}"
    );
    advance(seconds(1)).await;
    registry.now(&[1, 2]);
    connect(&group).await.unwrap();
    assert_eq!((servers(&group).join(""), registry.asked()), ("12".into(), 1));
    assert_eq!(group.sources()[0].failure, None);
}

#[tokio::test(start_paused = true)]
async fn one_request_waits_for_a_new_answer_and_for_a_second_at_most() {
    let registry = Registry::new(&[1]);
    let group = registry.group();
    connect(&group).await.unwrap();
    registry.asked();
    registry.says(Says::NothingAtAll);
    advance(seconds(10)).await;
    let since = Instant::now();
    let waiting = tokio::spawn({
        let group = group.clone();
        async move { connect(&group).await.map(|_| since.elapsed()) }
    });
    tokio::time::sleep(milliseconds(1)).await;
    connect(&group).await.unwrap();
    assert_eq!(since.elapsed(), milliseconds(1), "all others go on");
    assert_eq!(waiting.await.unwrap().unwrap(), seconds(1));
    assert_eq!(registry.asked(), 1);

    // A request that was to ask and has left is followed by another.
    advance(seconds(1)).await;
    let given_up = tokio::time::timeout(milliseconds(10), connect(&group)).await;
    assert!(given_up.is_err());
    registry.now(&[2]);
    connect(&group).await.unwrap();
    assert_eq!((servers(&group).join(""), registry.asked()), ("2".into(), 2));
}

#[tokio::test(start_paused = true)]
async fn without_any_answer_there_is_an_error_that_says_so() {
    let registry = Registry::new(&[]);
    registry.says(Says::Error);
    let group = registry.group();
    for _ in 0..3 {
        let error = connect(&group).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Resolve { name, .. } if name == "registry"),
            "{error}"
        );
    }
    assert_eq!(registry.asked(), 3);
    registry.now(&[1]);
    connect(&group).await.unwrap();

    registry.says(Says::NothingAtAll);
    let group = registry.group();
    let waiting = tokio::time::timeout(Duration::from_secs(100), connect(&group)).await;
    assert!(waiting.is_err(), "as long as the caller gives it");

    // Where there are others, it is no error.
    registry.says(Says::Error);
    let find = registry.clone();
    let make = |address: SocketAddr| Server::new(address.to_string(), Fake::new("found"));
    let fixed = Fake::new("fixed:80");
    let group = Group::builder()
        .server(fixed.server())
        .discover("registry", move || find.clone().answer(), seconds(10), make)
        .build();
    connect(&group).await.unwrap();
    assert_eq!(fixed.asked(), 1);
}

#[tokio::test]
async fn a_name_that_resolves_and_one_that_does_not() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let port = origin.address().port();
    for door in DOORS {
        let every = |name: &str| {
            Group::builder()
                .resolve(name, seconds(10), |address| Server::to(address.to_string()))
                .build()
        };
        let group = every(&format!("localhost:{port}"));
        let proxy = door.to(group.clone()).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "{door:?}");
        let names: Vec<_> = group.servers().into_iter().map(|server| server.name).collect();
        assert!(names.contains(&format!("127.0.0.1:{port}")), "{names:?}");

        let proxy = door.to(every("no..such.host:80")).await;
        let mut client = proxy.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 502, "{door:?}");
    }
    let nowhere = Group::builder()
        .resolve("no..such.host:80", seconds(10), |address| {
            Server::to(address.to_string())
        })
        .build();
    let proxy = Door::Service.to(nowhere).await;
    let mut client = proxy.client_sending("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.status, 502, "an ordinary request");
}
