//! Who opens and seals the records of a connection: the crate, or rustls.

use std::io::IoSlice;

use bytes::BytesMut;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::cipher::OutboundChunks;

use super::connection::Connection;
use super::driven;
use super::records::Records;
use super::scratch::{PAYLOAD, RECORDS};
use super::sink::{Come, Sink};

pub(super) enum Protection<C: Connection> {
    /// `records.rs`, with keys from rustls.
    Own(Box<Records<C>>),
    Rustls(Box<C>),
}

impl<C: Connection> Protection<C> {
    pub(super) fn of(connection: C, payload: usize) -> Result<Self, Error> {
        Ok(match Records::new(connection, payload)? {
            Ok(records) => Protection::Own(Box::new(records)),
            Err(connection) => Protection::Rustls(Box::new(connection)),
        })
    }

    /// Opens the records that the bytes hold, as far as there is room for what is in them. Says how many bytes are used up.
    pub(super) fn open(&mut self, bytes: &mut [u8], sink: &mut Sink<'_, '_>) -> (usize, Come) {
        match self {
            Protection::Own(records) => records.open(bytes, sink),
            Protection::Rustls(connection) => driven::open(&mut **connection, bytes, sink),
        }
    }

    /// Seals payload, at least a part of it, and says how much. rustls may open what is held of the other direction, and come to
    /// something there.
    pub(super) fn seal(
        &mut self,
        slices: &[IoSlice<'_>],
        held: &mut BytesMut,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(usize, Option<Come>), Error> {
        match (self, slices) {
            (Protection::Own(records), [slice]) => {
                let sealed = records.seal(OutboundChunks::Single(slice), sink.outgoing)?;
                Ok((sealed, None))
            }
            (Protection::Own(records), slices) => {
                let chunks: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
                Ok((records.seal(OutboundChunks::new(&chunks), sink.outgoing)?, None))
            }
            (Protection::Rustls(connection), slices) => {
                let joined: Vec<u8>;
                let payload = match slices {
                    [slice] => &slice[..slice.len().min(RECORDS * PAYLOAD)],
                    slices => {
                        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
                        joined = bytes.take(PAYLOAD).collect();
                        &joined[..]
                    }
                };
                let come = driven::seal(&mut **connection, held, payload, sink)?;
                Ok((payload.len(), come))
            }
        }
    }

    /// Seals the end of what is sent.
    pub(super) fn close(&mut self, held: &mut BytesMut, sink: &mut Sink<'_, '_>) -> Option<Come> {
        match self {
            Protection::Own(records) => {
                records.close(sink.outgoing);
                None
            }
            Protection::Rustls(connection) => driven::close(&mut **connection, held, sink),
        }
    }
}
