//! What one side's compressed messages say (RFC 7692, section 7.2.2), with what was said before where the sender refers to it.
//!
//! Knows compressed bytes. It must not know frames, nor what is done with the text.

use flate2::{Decompress, FlushDecompress, Status};

use super::message::Deflated;

/// How much is inflated at once.
const PIECE: usize = 8 * 1024;

/// RFC 7692, section 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message".
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The window of one sender: about 43 KiB, from its first compressed message on. It is the largest window of RFC 7692, which reads
/// what was written with any smaller one.
pub(super) struct Inflater {
    window: Option<Box<Decompress>>,
    takes_over: bool,
    /// What came last was the end of a block that says that it is the last one.
    has_ended: bool,
    /// How much it has made since that was [enough](Inflater::has_made) last.
    made: u64,
}

impl Inflater {
    /// `takes_over`: a message may refer to those before it.
    #[allow(clippy::unnecessary_wraps, reason = "without the feature there is none")]
    pub(super) fn new(takes_over: bool) -> Option<Self> {
        Some(Inflater {
            window: None,
            takes_over,
            has_ended: false,
            made: 0,
        })
    }

    pub(super) fn takes_over(&self) -> bool {
        self.takes_over
    }

    /// Whether it has made so much since it was so last.
    pub(super) fn has_made(&mut self, enough: u64) -> bool {
        let is_enough = self.made >= enough;
        if is_enough {
            self.made = 0;
        }
        is_enough
    }

    /// Inflates what comes next of a message, and gives it away in pieces. `left` is how much the message may still come to.
    pub(super) fn inflate(
        &mut self,
        piece: &[u8],
        is_last: bool,
        left: &mut u64,
        give: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Deflated> {
        let window = self
            .window
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        let before = *left;
        if !piece.is_empty() {
            self.has_ended = step(window, piece, left, give)?;
        }
        if is_last {
            // Behind the end of a stream the tail would be a part of the next one, and what its sender writes next another part: the
            // receiver, for which the stream is over, would read something else.
            if !std::mem::take(&mut self.has_ended) {
                step(window, &TAIL, left, give)?;
            }
            if !self.takes_over {
                window.reset(false);
            }
        }
        self.made = self.made.saturating_add(before.saturating_sub(*left));
        Ok(())
    }
}

/// Whether the input ends where a stream does.
fn step(
    window: &mut Decompress,
    mut input: &[u8],
    left: &mut u64,
    give: &mut dyn FnMut(&[u8]),
) -> Result<bool, Deflated> {
    let mut space = [0; PIECE];
    loop {
        let (taken, made) = (window.total_in(), window.total_out());
        let status = window
            .decompress(input, &mut space, FlushDecompress::Sync)
            .map_err(|_| Deflated::Invalid)?;
        let taken = (window.total_in() - taken) as usize;
        let made = (window.total_out() - made) as usize;
        input = &input[taken..];
        *left = left.checked_sub(made as u64).ok_or(Deflated::TooLong)?;
        if made > 0 {
            give(&space[..made]);
        }
        match status {
            // RFC 7692, section 7.2.3.5: a block may say that it is the last one. What follows begins a new stream.
            Status::StreamEnd => {
                window.reset(false);
                if input.is_empty() {
                    return Ok(true);
                }
            }
            _ if taken == 0 && made == 0 => {
                return match input.is_empty() {
                    true => Ok(false),
                    false => Err(Deflated::Invalid),
                };
            }
            _ if input.is_empty() && made < space.len() => return Ok(false),
            _ => {}
        }
    }
}
