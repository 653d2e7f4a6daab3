//! A client's connection, for the access log: what all records of its requests have in common, and what there is to record where
//! it has failed before there was a request.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Instant;

use http::StatusCode;
use http::request::Parts;
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::{Error, Side};

use super::access_log::AccessLog;
use super::record::{Record, Why};
use super::story::Story;

/// A client's connection, for the log.
#[derive(Clone)]
pub(crate) struct Visit {
    log: AccessLog,
    connection: u64,
    listener: SocketAddr,
    peer: SocketAddr,
    begun: Instant,
}

impl Visit {
    pub(crate) fn new(log: &AccessLog, listener: SocketAddr, peer: SocketAddr) -> Visit {
        Visit {
            log: log.clone(),
            connection: log.connection(),
            listener,
            peer,
            begun: Instant::now(),
        }
    }

    /// The client has asked for something.
    pub(crate) fn request(&self, head: &Parts, hop: Hop) -> Story {
        Story::new(self.clone(), self.log.request(), head, hop)
    }

    pub(super) fn keeps_query(&self) -> bool {
        self.log.keeps_query
    }

    /// What came was no request, and has been answered so.
    pub(crate) fn refused(&self, hop: Hop, why: &Rejection) {
        self.write("refused", hop, Some(why.status()), why.into());
    }

    /// The connection has failed before there was a request.
    pub(crate) fn failed(&self, hop: Hop, why: &Error) {
        self.write("failed", hop, None, why.into());
    }

    /// The connection has failed before HTTP could be spoken on it, or because it was not spoken well enough; with the status
    /// that the client was sent, if it was sent any.
    pub(crate) fn unopened(
        &self,
        hop: Hop,
        status: Option<StatusCode>,
        (phase, reason): (&'static str, &'static str),
        detail: &impl Display,
    ) {
        let event = if status.is_some() { "refused" } else { "failed" };
        let why = Why {
            reason,
            detail: detail.to_string(),
            place: Some((Side::Downstream, phase)),
        };
        self.write(event, hop, status, why);
    }

    fn write(&self, event: &str, hop: Hop, status: Option<StatusCode>, why: Why) {
        let record = self.record(event, None, hop).status(status).why(Some(why));
        self.leave(record.took(self.begun));
    }

    /// What every record begins with.
    pub(super) fn record(&self, event: &str, id: Option<u64>, hop: Hop) -> Record {
        let record = Record::new(event)
            .number("id", id)
            .number("connection", Some(self.connection))
            .address("listener", self.listener)
            .address("peer", self.peer);
        // With its port where that is known.
        match (hop.client(), hop.client_port()) {
            (Some(address), Some(port)) => record.address("client", SocketAddr::new(address, port)),
            (address, _) => record.display("client", address),
        }
    }

    pub(super) fn leave(&self, record: Record) {
        self.log.leave(&record.line());
    }
}
