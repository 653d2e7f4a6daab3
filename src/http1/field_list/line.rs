//! One line of a list of fields, and where it stands.
//!
//! It must not know other lines.

use std::ops::Range;

use http::header::HeaderName;

use super::FieldList;
use crate::http1::encode::{LINE_END, encode_line};

/// Room for a line of a length that is common, and for those that a proxy adds.
pub(super) const COMMON: usize = 48;
const ADDED: usize = FieldList::ADDED * COMMON;

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: HeaderName,
    pub(super) value: Place,
    /// That of the name among the marks, which is compared faster.
    pub(super) bit: u8,
    /// How many bytes before the value the line begins, if it stands there as it is sent: the name in its usual spelling, a colon and a
    /// space. Zero if it does not.
    pub(super) lead: u16,
}

/// Where a value stands. In half the bytes that two lengths take: a list of a common head is then one of the small pieces of memory
/// that are given out fast.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) begin: u32,
    pub(super) end: u32,
    /// In the section that was received, or in the text.
    pub(super) is_received: bool,
}

impl Place {
    /// None beyond 4 GiB.
    pub(super) fn at(range: Range<usize>, is_received: bool) -> Option<Self> {
        Some(Place {
            begin: u32::try_from(range.start).ok()?,
            end: u32::try_from(range.end).ok()?,
            is_received,
        })
    }

    pub(super) fn range(self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

/// Lines that stand one behind the other, as they are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) is_received: bool,
}

impl Line {
    /// Puts a line into the text, as it is sent.
    pub(super) fn written(text: &mut Vec<u8>, name: HeaderName, bit: u8, value: &[u8]) -> Line {
        let begin = text.len();
        if begin == 0 {
            text.reserve(ADDED.max(value.len()));
        }
        encode_line(&name, value, text);
        let end = text.len() - LINE_END.len();
        let at = end - value.len();
        let lead = u16::try_from(at - begin).unwrap_or_default();
        // What is received is refused above 4 GiB, and what is written is of its size.
        let (value, lead) = match Place::at(at..end, false) {
            Some(value) => (value, lead),
            None => (Place::default(), 0),
        };
        Line {
            name,
            value,
            bit,
            lead,
        }
    }
}
