//! A body on its way through a compressor: what has come of it is compressed and sent on whenever nothing more comes at once, so that nothing
//! waits in the compressor.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};
use switchover::service::ProxyBody;

/// So much is compressed at once, and so much of it is sent at once.
const MOST_IN: usize = 256 << 10;
const MOST_OUT: usize = 16 << 10;

/// A body on its way through the compressor.
pub(crate) struct Compressed {
    body: ProxyBody,
    /// None when it has come to its end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// There is something in the compressor.
    is_waiting: bool,
}

impl Compressed {
    pub(crate) fn new(body: ProxyBody, level: u32) -> Self {
        Compressed {
            body,
            encoder: Some(GzEncoder::new(Vec::new(), Compression::new(level))),
            is_waiting: false,
        }
    }

    /// What has come out, if anything has.
    fn out(&mut self, flushes: bool) -> Option<Frame<Bytes>> {
        let encoder = self.encoder.as_mut()?;
        if flushes && std::mem::take(&mut self.is_waiting) {
            // A vector takes everything.
            let _ = encoder.flush();
        }
        let out = std::mem::take(encoder.get_mut());
        (!out.is_empty()).then(|| Frame::data(out.into()))
    }
}

impl Body for Compressed {
    type Data = Bytes;
    type Error = Arc<switchover::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Arc<switchover::Error>>>> {
        let mut taken = 0;
        while self.encoder.is_some() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    return match self.out(true) {
                        Some(frame) => Poll::Ready(Some(Ok(frame))),
                        None => Poll::Pending,
                    };
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    taken += data.len();
                    self.is_waiting = true;
                    if let Some(encoder) = &mut self.encoder {
                        let _ = encoder.write_all(&data);
                    }
                    let is_much = self
                        .encoder
                        .as_ref()
                        .is_some_and(|encoder| encoder.get_ref().len() >= MOST_OUT);
                    if let Some(frame) = (is_much || taken >= MOST_IN)
                        .then(|| self.out(taken >= MOST_IN))
                        .flatten()
                    {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(why))) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(why)));
                }
                Poll::Ready(None) => {
                    let out = self.encoder.take().and_then(|encoder| encoder.finish().ok());
                    return Poll::Ready(out.map(|out| Ok(Frame::data(out.into()))));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}
