//! What a scripted origin remembers of a connection, and how a test reads it.

use std::io;

use tokio::sync::watch;

use super::wait::{TIMEOUT, show, within};

/// How the other side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It ended its stream in order.
    InOrder,
    /// It reset the connection, or the connection failed in another way.
    Reset,
}

/// What a connection has brought so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ended: Option<Ended>,
}

/// Keeps the record of one connection.
#[derive(Debug)]
pub(super) struct Recorder(watch::Sender<Record>);

impl Recorder {
    pub(super) fn new() -> (Self, Connection) {
        let (sender, record) = watch::channel(Record::default());
        (Recorder(sender), Connection { record })
    }

    /// Notes the result of a read. True while there may be more to read.
    pub(super) fn note(&self, read: &io::Result<usize>, bytes: &[u8]) -> bool {
        let ended = match read {
            Ok(0) => Some(Ended::InOrder),
            Ok(_) => None,
            Err(_) => Some(Ended::Reset),
        };
        self.0.send_modify(|record| {
            record.bytes.extend_from_slice(bytes);
            // After a reset the socket reads as ended in order: the first news counts.
            record.ended = record.ended.or(ended);
        });
        ended.is_none()
    }
}

/// One connection that a [`ScriptedOrigin`](super::ScriptedOrigin) has accepted: everything received on it.
#[derive(Clone, Debug)]
pub struct Connection {
    record: watch::Receiver<Record>,
}

impl Connection {
    /// The bytes received so far.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.record.borrow().bytes.clone()
    }

    /// How the other side has ended the connection, if it has and the script has read that far.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.record.borrow().ended
    }

    /// How many request lines are in the bytes received: each place where a line ends with a version.
    #[must_use]
    pub fn requests(&self) -> usize {
        let bytes = self.received();
        bytes
            .windows(b" HTTP/1.1\r\n".len())
            .filter(|window| *window == b" HTTP/1.1\r\n")
            .count()
    }

    /// Waits until the bytes received end with these.
    ///
    /// # Panics
    ///
    /// If they do not within [`TIMEOUT`].
    pub async fn receives(&self, bytes: &[u8]) {
        let awaited = format!("an origin to receive {}", show(bytes));
        self.wait(&awaited, |record| record.bytes.ends_with(bytes)).await;
    }

    /// Waits for the request head, and returns it with its empty line.
    ///
    /// # Panics
    ///
    /// If there is none within [`TIMEOUT`].
    pub async fn head(&self) -> String {
        let find = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
        self.wait("a request head at the origin", |record| {
            find(&record.bytes).is_some()
        })
        .await;
        let bytes = self.received();
        let end = find(&bytes).map_or(bytes.len(), |at| at + 4);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Waits until the other side has ended the connection, in order or not, and returns which.
    ///
    /// # Panics
    ///
    /// If it has not within [`TIMEOUT`].
    pub async fn end(&self) -> Ended {
        self.wait("the proxy to end its connection to the origin", |record| {
            record.ended.is_some()
        })
        .await;
        self.ended().unwrap_or(Ended::Reset)
    }

    /// Waits for the end, which must be one in order, and after exactly these bytes.
    ///
    /// # Panics
    ///
    /// If there is no end within [`TIMEOUT`], or it is another one, or the bytes are others.
    pub async fn receives_exactly_and_ends(&self, bytes: &[u8]) {
        let ended = self.end().await;
        let received = self.received();
        assert!(
            received == bytes,
            "an origin received {}, not {}",
            show(&received),
            show(bytes)
        );
        assert_eq!(ended, Ended::InOrder, "how the connection to the origin ended");
    }

    async fn wait(&self, awaited: &str, condition: impl Fn(&Record) -> bool) {
        let mut record = self.record.clone();
        let result = within(
            TIMEOUT,
            &format!("{awaited}; so far {}", show(&self.received())),
            async { record.wait_for(condition).await.map(|_| ()).map_err(|_| ()) },
        )
        .await;
        if result.is_err() {
            panic!(
                "the origin's script ended before {awaited}; it has received {}",
                show(&self.received())
            );
        }
    }
}
