//! A direction's bytes through a pipe of the kernel's.
//!
//! Knows a reader, a writer and a pipe. It must not know when splicing is worth it.

use std::any::Any;
use std::task::Context;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Half;
use crate::tunnel::config::SpliceConfig;
use crate::tunnel::end::Operation;
use crate::tunnel::engine::outlet::{Failure, Turn};
use crate::tunnel::engine::pipe;
use crate::tunnel::engine::scratch::SCRATCH_SIZE;
use crate::tunnel::engine::transfer_mode::{Filled, TransferMode};

/// How many of these a splice counts for: all, since it moves up to a pipe at a time. Two for each poll moved bulk no
/// cheaper and made others wait half as long again.
const TURNS_PER_SPLICE: usize = 16;

impl Half {
    /// Moves bytes through a pipe. None if that is not possible, now or ever.
    pub(super) fn splice<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        config: SpliceConfig,
        limit: usize,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<Option<Turn>, Failure>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        if limit == 0 {
            return Ok(None);
        }
        let filled = pipe::fill(cx, config, limit, (reader, writer)).map_err(|source| Failure {
            operation: Operation::Read,
            source,
        })?;
        Ok(Some(match filled {
            Filled::With(pipe, count) => {
                self.mode.spliced(count);
                self.note_spliced(now, count);
                self.outlet.empty(cx, now, writer, pipe)?
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
}

/// How many turns a splice of at most so many bytes counts for.
pub(super) fn turns_per_splice(limit: usize) -> usize {
    (limit / SCRATCH_SIZE).clamp(1, TURNS_PER_SPLICE)
}
