//! The access log of the program gateway: what it tells of each thing that can happen to a client, over real sockets.
#![cfg(unix)]

mod connections;
mod files;
mod requests;
mod tunnels;

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::program;
use switchover::test_util::{ScriptedClient, ScriptedOrigin};
use tokio::net::TcpListener;

use program::Program;

/// A gateway that logs to its standard output.
pub(crate) struct Logged {
    pub(crate) program: Program,
    /// What stands in the records for addresses, which are others each time.
    names: Vec<(String, &'static str)>,
}

impl Logged {
    pub(crate) async fn start(more: &[String]) -> Logged {
        let fixed = ["--listen=127.0.0.1:0", "--access-log=-"].map(str::to_owned);
        let all: Vec<&str> = fixed.iter().chain(more).map(String::as_str).collect();
        let program = Program::start("gateway", &all).await;
        let names = vec![(program.address.to_string(), "GATEWAY")];
        Logged { program, names }
    }

    /// In front of one origin.
    pub(crate) async fn to(origin: &ScriptedOrigin, more: &[&str]) -> Logged {
        let mut all = vec![format!("--route=/=http://{}", origin.address())];
        all.extend(more.iter().map(|&argument| argument.to_owned()));
        let mut logged = Logged::start(&all).await;
        logged.call(origin.address(), "ORIGIN");
        logged
    }

    pub(crate) fn call(&mut self, address: SocketAddr, name: &'static str) {
        self.names.push((address.to_string(), name));
    }

    /// A client that is called `CLIENT`, and has sent these bytes.
    pub(crate) async fn client(&mut self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = self.program.client().await;
        let address = client.stream().local_addr().unwrap();
        self.names.retain(|(_, name)| *name != "CLIENT");
        self.call(address, "CLIENT");
        client.send(bytes).await;
        client
    }

    /// The next record as it is.
    pub(crate) async fn raw(&mut self) -> String {
        self.program.line().await.expect("a record")
    }

    /// The next record, without its times, which are only known to be some, and with names for addresses.
    pub(crate) async fn record(&mut self) -> Value {
        let mut line = self.raw().await;
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        for (address, name) in &self.names {
            line = line.replace(address.as_str(), name);
        }
        let mut record: Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let time = record["time"].as_str().expect("a time").to_owned();
        assert_eq!(
            (time.len(), &time[10..11], &time[19..20], &time[23..]),
            (24, "T", ".", "Z")
        );
        without_times(&mut record);
        record
    }

    /// What all records of requests have in common, with something more.
    pub(crate) async fn is(&mut self, event: &str, more: Value) {
        let mut expected = json!({
            "event": event,
            "connection": 1,
            "id": 1,
            "listener": "GATEWAY",
            "peer": "CLIENT",
            "client": "CLIENT",
            "version": "HTTP/1.1",
            "method": "GET",
            "host": "example.com",
            "path": "/chat",
        });
        change(&mut expected, more);
        assert_eq!(self.record().await, expected);
    }
}

/// Sets fields, or removes those that are null.
pub(crate) fn change(record: &mut Value, changes: Value) {
    let (Value::Object(record), Value::Object(changes)) = (record, changes) else {
        panic!("two records");
    };
    for (name, value) in changes {
        match value {
            Value::Null => drop(record.remove(&name)),
            value => drop(record.insert(name, value)),
        }
    }
}

/// Takes out what is a number of milliseconds, and the time.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("time");
            for name in ["connect_ms", "head_ms", "took_ms", "duration_ms"] {
                if let Some(time) = fields.remove(name) {
                    assert!(
                        time.as_f64().is_some_and(|time| (0.0..60_000.0).contains(&time)),
                        "{name}: {time}"
                    );
                }
            }
            fields.values_mut().for_each(without_times);
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// What is recorded of the one upstream that was asked, and answered.
pub(crate) fn answered(status: u16) -> Value {
    json!([{"name": "ORIGIN", "outcome": "answered", "status": status}])
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
