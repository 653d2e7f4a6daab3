//! A direction's bytes through a pipe of the kernel's.
//!
//! Knows a reader, a writer and a pipe. It must not know when splicing is worth it.

use std::any::Any;
use std::io;
use std::task::Context;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Half;
use crate::tunnel::config::SpliceConfig;
use crate::tunnel::end::Operation;
use crate::tunnel::engine::outlet::{Failure, Turn};
use crate::tunnel::engine::pipe::{self, Pipe};
use crate::tunnel::engine::scratch::SCRATCH_SIZE;
use crate::tunnel::engine::transfer_mode::{Filled, Peeked, TransferMode};
use crate::tunnel::websocket::Framed;

/// How many of these a splice counts for: all, since it moves up to a pipe at a time. Two for each poll moved bulk no
/// cheaper and made others wait half as long again.
const TURNS_PER_SPLICE: usize = 16;

/// How much may be spliced.
enum Limit {
    Bytes(usize),
    /// Nothing, and there is nothing to be read either: this turn is over.
    Over(Turn),
    /// Nothing before something was read.
    Read,
    /// The reader has failed.
    Failed(io::Error),
}

fn failed(source: io::Error) -> Failure {
    Failure {
        operation: Operation::Read,
        source,
    }
}

impl Half {
    /// Moves bytes through a pipe. None if that is not possible, now or ever.
    pub(super) fn splice<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        config: SpliceConfig,
        (reader, writer): (&mut R, &mut W),
        turns: &mut usize,
    ) -> Result<Option<Turn>, Failure>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        let limit = match self.splice_limit(cx, now, (reader, writer)) {
            Limit::Bytes(limit) => limit,
            Limit::Over(turn) => return Ok(Some(turn)),
            Limit::Read => return Ok(None),
            Limit::Failed(error) => return Err(failed(error)),
        };
        let filled = pipe::fill(cx, config, limit, (reader, writer)).map_err(failed)?;
        Ok(Some(match filled {
            Filled::With(mut pipe, mut count) => {
                self.note_spliced(now, count);
                let mut filled_on = Ok(());
                if count == limit {
                    let added;
                    (added, filled_on) = self.fill_on(cx, now, &mut pipe, (reader, writer));
                    count += added;
                }
                self.mode.spliced(count);
                *turns += self.turns_of(count) - 1;
                let turn = self.outlet.empty(cx, now, writer, pipe)?;
                // What came before the failure goes out all the same.
                filled_on.map_err(failed)?;
                turn
            }
            Filled::Waiting => Turn::Wait,
            Filled::Again => Turn::Again,
            Filled::End => {
                self.reader_has_ended();
                Turn::Again
            }
            Filled::NotNow => return Ok(None),
            Filled::Impossible => {
                self.mode = TransferMode::OnlyCopy;
                return Ok(None);
            }
        }))
    }

    /// How much may be spliced now: all, or what is left of a frame, or the frame that comes next.
    fn splice_limit<R: Any, W: Any>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        streams: (&R, &W),
    ) -> Limit {
        let Some(framed) = &mut self.framed else {
            return Limit::Bytes(usize::MAX);
        };
        match framed.may_skip() {
            0 if framed.may_look_ahead() => {}
            0 => return Limit::Read,
            limit => return Limit::Bytes(limit),
        }
        let mut header = [0; Framed::LOOKED_AT];
        match pipe::peek(cx, streams, &mut header) {
            Peeked::Bytes(count) => match framed.look_ahead(now, &header[..count]) {
                0 => Limit::Read,
                limit => Limit::Bytes(limit),
            },
            Peeked::Waiting => Limit::Over(Turn::Wait),
            Peeked::Again => Limit::Over(Turn::Again),
            Peeked::NotNow => Limit::Read,
            Peeked::Failed(error) => Limit::Failed(error),
        }
    }

    /// A frame has gone into the pipe to its end: those that follow it go out together with it. How many bytes these were, and whether
    /// the reader has failed behind them.
    fn fill_on<R: Any, W: Any>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        pipe: &mut Pipe,
        (reader, writer): (&R, &W),
    ) -> (usize, io::Result<()>) {
        let mut added = 0;
        while !pipe.is_full() && self.framed.as_ref().is_some_and(|framed| framed.may_go_on()) {
            let limit = match self.splice_limit(cx, now, (reader, writer)) {
                Limit::Bytes(limit) => limit,
                Limit::Failed(error) => return (added, Err(error)),
                Limit::Over(_) | Limit::Read => break,
            };
            let count = match pipe.add(reader, limit) {
                Ok(count) => count,
                Err(error) => return (added, Err(error)),
            };
            self.note_spliced(now, count);
            added += count;
            if count < limit {
                break;
            }
        }
        (added, Ok(()))
    }

    /// How many turns a splice of so many bytes counts for.
    fn turns_of(&self, count: usize) -> usize {
        match &self.framed {
            None => TURNS_PER_SPLICE,
            Some(_) => (count / SCRATCH_SIZE).clamp(1, TURNS_PER_SPLICE),
        }
    }
}
