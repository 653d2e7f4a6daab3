//! What this host lacks is no server's fault: the client gets a 503, and all servers stay what they were.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use switchover::connect::{Connect, ConnectError, ConnectRequest, Pooling, Shortage};
use switchover::test_util::UPGRADE_REQUEST;
use switchover::upstream::{Group, Health, Server};
use tokio::net::TcpStream;

use crate::door::{DOORS, Door};

const GET: &str = "GET /a HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
const SERVERS: usize = 3;

/// A connector that has an error of the system instead of a connection.
#[derive(Clone)]
struct Lacks {
    errno: Errno,
    /// Fails while the name is resolved.
    resolving: bool,
    asked: Arc<AtomicUsize>,
}

impl Connect for Lacks {
    type Stream = TcpStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (name, source) = ("fake:80".to_owned(), io::Error::from(self.errno));
        Err(match self.resolving {
            true => ConnectError::Resolve { name, error: source },
            false => ConnectError::Failed { name, error: source },
        })
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}

async fn ask(door: Door, connect: impl Connect + 'static, request: &str) -> (u16, String) {
    let proxy = door.to(connect).await;
    let mut client = proxy.client_sending(request).await;
    let (head, body) = client.response().await;
    (head.status.as_u16(), String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn no_server_is_blamed_for_it() {
    let (resources, address) = (Some(Shortage::Resources), Some(Shortage::LocalAddress));
    for (errno, shortage) in [
        (Errno::MFILE, resources),
        (Errno::NFILE, resources),
        (Errno::NOBUFS, resources),
        (Errno::NOMEM, resources),
        (Errno::ADDRNOTAVAIL, address),
        (Errno::CONNREFUSED, None),
    ] {
        for resolving in [false, true] {
            let lacks = Lacks {
                errno,
                resolving,
                asked: Arc::default(),
            };
            for (door, request) in [
                (DOORS[0], UPGRADE_REQUEST),
                (DOORS[1], UPGRADE_REQUEST),
                (Door::Service, GET),
            ] {
                let case = format!("{errno:?}, {door:?}, resolving: {resolving}, {request:.6}");
                let expected = if shortage.is_some() { 503 } else { 502 };
                let (status, text) = ask(door, lacks.clone(), request).await;
                assert_eq!(status, expected, "{case}: {text}");
                assert_eq!(
                    text.contains("this proxy lacks"),
                    shortage.is_some(),
                    "{case}: {text}"
                );

                lacks.asked.store(0, Ordering::Relaxed);
                let servers = (0..SERVERS).map(|at| Server::new(format!("{at}:80"), lacks.clone()));
                let group = Group::of(servers);
                let (status, text) = ask(door, group.clone(), request).await;
                assert_eq!(status, expected, "{case}: {text}");
                let asked = lacks.asked.load(Ordering::Relaxed);
                // The same lack is not met again with each server; a port may be free for another.
                let tried = if shortage == resources { 1 } else { SERVERS };
                assert_eq!(asked, tried, "{case}");
                for server in group.servers() {
                    let sound = (server.health, server.failed) == (Health::Healthy, 0);
                    assert_eq!(sound, shortage.is_some(), "{case}: {server:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn it_has_a_name_of_its_own_in_logs() {
    for (errno, name) in [
        (Errno::MFILE, "out-of-resources"),
        (Errno::ADDRNOTAVAIL, "no-local-address"),
    ] {
        let (name_of, source) = ("fake:80".to_owned(), io::Error::from(errno));
        let error = ConnectError::Failed {
            name: name_of,
            error: source,
        };
        assert_eq!(error.name(), name);
        assert_eq!(switchover::Cause::Connect(error).name(), name);
        assert_eq!(switchover::Cause::Io(io::Error::from(errno)).name(), name);
    }
}
