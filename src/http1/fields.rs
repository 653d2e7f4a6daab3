//! The field lines of a head or of a trailer section, as a map or as a list.
//!
//! Where the section ends, and how long it may be, has been decided. What a field means is not decided here.

use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::HeadError;
use super::field_list::FieldList;
use super::marks::{Marks, bit};
use super::names::named;
use super::scan::first_control;
use crate::token;

/// What field lines are received in.
pub(crate) trait Received: Sized {
    /// How many lines a proxy adds to those of a request, for which there is room from the beginning.
    const ADDED: usize;

    /// Nothing yet, of this section, with room for so many lines.
    fn within(section: &Bytes, room: usize) -> Self;

    /// One more line.
    fn receive(&mut self, section: &Bytes, line: ReceivedLine) -> Result<(), HeadError>;

    /// All lines are there, and these are the marks of their names.
    fn marked(&mut self, marks: Marks);
}

/// A line of a section.
pub(crate) struct ReceivedLine {
    pub(super) name: HeaderName,
    /// That of the name among the marks.
    pub(super) bit: u8,
    /// Where the value stands. It holds no control bytes but tabs.
    pub(super) value: Range<usize>,
    /// How many bytes before the value the line begins, if the name is spelled as is usual, one space stands before the value and none
    /// behind it: the line is what would be sent of it. Otherwise zero.
    pub(super) lead: u16,
}

impl Received for HeaderMap {
    const ADDED: usize = 0;

    fn within(_: &Bytes, room: usize) -> Self {
        HeaderMap::with_capacity(room)
    }

    fn receive(&mut self, section: &Bytes, line: ReceivedLine) -> Result<(), HeadError> {
        let value = HeaderValue::from_maybe_shared(section.slice(line.value));
        self.append(line.name, value.map_err(|_| HeadError::FieldValue)?);
        Ok(())
    }

    fn marked(&mut self, _: Marks) {}
}

impl Received for FieldList {
    const ADDED: usize = FieldList::ADDED;

    fn within(section: &Bytes, room: usize) -> Self {
        FieldList::within(section.clone(), room)
    }

    fn receive(&mut self, _: &Bytes, line: ReceivedLine) -> Result<(), HeadError> {
        FieldList::receive(self, line)
    }

    fn marked(&mut self, marks: Marks) {
        FieldList::marked(self, marks);
    }
}

/// Parses the lines that begin at this offset, up to the empty line. There is room for this many before more has to be made.
///
/// A line is a token, a colon at once behind it, and a value without control bytes (RFC 9112, section 5). It ends with CRLF. `ends` is
/// where the line feeds of the first of them stand, by a scan of the same bytes that has found no control bytes in them but tabs.
pub(super) fn field_lines<F: Received>(
    section: &Bytes,
    mut at: usize,
    room: usize,
    ends: &[u16],
) -> Result<(F, Marks), HeadError> {
    let mut fields = F::within(section, room);
    let mut marks = Marks::default();
    let mut ends = ends.iter();
    loop {
        let rest = section.get(at..).unwrap_or_default();
        let known = ends
            .next()
            .and_then(|end| known_line(rest, at, usize::from(*end)));
        let (length, is_sound) = match known {
            Some(length) => (length, true),
            None => first_line(rest).ok_or(HeadError::FieldName)?,
        };
        let line = &rest[..length];
        if line.is_empty() {
            fields.marked(marks);
            return Ok((fields, marks));
        }
        let colon = token::find(line, b':').ok_or(HeadError::FieldName)?;
        let usual = named(&line[..colon]);
        let is_usual = usual.is_some();
        let (name, bit) = match usual {
            Some(named) => named,
            None => {
                let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| HeadError::FieldName)?;
                marks.note_underscores(&line[..colon]);
                let bit = bit(&name);
                (name, bit)
            }
        };
        let is_space = |byte: u8| matches!(byte, b' ' | b'\t');
        let (mut begin, mut end) = (colon + 1, line.len());
        while begin < end && is_space(line[begin]) {
            begin += 1;
        }
        while begin < end && is_space(line[end - 1]) {
            end -= 1;
        }
        // The name has none.
        if !is_sound {
            return Err(HeadError::FieldValue);
        }
        marks.add_bit(bit);
        let is_as_sent = is_usual && end == line.len() && line[colon + 1..begin] == *b" ";
        // A name that is usual is short.
        let lead = is_as_sent.then(|| u16::try_from(begin).ok()).flatten();
        let received = ReceivedLine {
            name,
            bit,
            value: at + begin..at + end,
            lead: lead.unwrap_or_default(),
        };
        fields.receive(section, received)?;
        at += line.len() + 2;
    }
}

/// The length of the line that these bytes begin with, which stand at this offset, where a scan has seen its line feed.
fn known_line(bytes: &[u8], at: usize, line_feed: usize) -> Option<usize> {
    let length = line_feed.checked_sub(at + 1)?;
    debug_assert_eq!(
        first_line(bytes),
        Some((length, true)),
        "the scan was of other bytes"
    );
    bytes.get(length..)?.starts_with(b"\r\n").then_some(length)
}

/// The length of the line that these bytes begin with, without its CRLF, and whether it has no control bytes but tabs.
fn first_line(bytes: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut is_sound) = (0, true);
    loop {
        at += first_control(&bytes[at..]);
        match bytes.get(at..at + 2)? {
            b"\r\n" => return Some((at, is_sound)),
            [b'\t', _] => {}
            _ => is_sound = false,
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_by_rfc_9112_section_5() {
        type Lines = &'static [(&'static str, &'static [u8])];
        let cases: [(&[u8], Result<Lines, HeadError>); 15] = [
            (b"\r\n", Ok(&[])),
            (b"a: b\r\n\r\n", Ok(&[("a", b"b")])),
            (b"A:b\r\n\r\nc: d\r\n\r\n", Ok(&[("a", b"b")])),
            (b"a: \t b \t c \t\r\n\r\n", Ok(&[("a", b"b \t c")])),
            (b"a:\r\nb: \r\n\r\n", Ok(&[("a", b""), ("b", b"")])),
            (
                b"a: 1\r\nb: 2\r\na: 3\r\n\r\n",
                Ok(&[("a", b"1"), ("a", b"3"), ("b", b"2")]),
            ),
            (b"a: \x80\xff:\r\n\r\n", Ok(&[("a", b"\x80\xff:")])),
            (b"a: b\r\n", Err(HeadError::FieldName)),
            (b"a\r\n\r\n", Err(HeadError::FieldName)),
            (b": b\r\n\r\n", Err(HeadError::FieldName)),
            (b"a : b\r\n\r\n", Err(HeadError::FieldName)),
            (b" a: b\r\n\r\n", Err(HeadError::FieldName)),
            (b"a\x80: b\r\n\r\n", Err(HeadError::FieldName)),
            (b"a: b\rc\r\n\r\n", Err(HeadError::FieldValue)),
            (b"a: b\nc\r\n\r\n", Err(HeadError::FieldValue)),
        ];
        for (bytes, expected) in cases {
            let text = String::from_utf8_lossy(bytes);
            let parsed = field_lines::<HeaderMap>(&Bytes::from_static(bytes), 0, 0, &[]).map(|(map, _)| map);
            let parsed = parsed.as_ref().map(|headers| {
                let line = |(name, value): (&'static HeaderName, &'static HeaderValue)| {
                    (name.as_str(), value.as_bytes())
                };
                let headers: &'static HeaderMap = Box::leak(Box::new(headers.clone()));
                headers.iter().map(line).collect::<Vec<_>>()
            });
            assert_eq!(parsed, expected.as_ref().map(|lines| lines.to_vec()), "{text:?}");
            // And as a list, of which the same map is made.
            {
                let list = field_lines::<FieldList>(&Bytes::from_static(bytes), 0, 0, &[]);
                let map = field_lines::<HeaderMap>(&Bytes::from_static(bytes), 0, 0, &[]);
                assert_eq!(
                    list.map(|(list, _)| list.to_map()),
                    map.map(|(map, _)| map),
                    "{text:?}"
                );
            }
        }
    }

    /// Another parser's reading of the same lines.
    fn by_httparse(section: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut lines = [httparse::EMPTY_HEADER; 64];
        let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(section, &mut lines)
        else {
            return None;
        };
        assert!(length <= section.len());
        let line = |line: &httparse::Header<'_>| (line.name.to_ascii_lowercase(), line.value.to_vec());
        Some(lines.iter().map(line).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// What is accepted here has one reading, which another parser has too.
        #[test]
        fn another_parser_reads_the_same_lines(
            pieces in prop::collection::vec(
                prop_oneof![
                    4 => Just(&b"\r\n"[..]), 4 => Just(&b"a"[..]), 4 => Just(&b":"[..]), 2 => Just(&b" "[..]),
                    1 => Just(&b"\t"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\0"[..]),
                    1 => Just(&b"\x7f"[..]), 1 => Just(&b"\xe9"[..]), 2 => Just(&b"x-b: c\r\n"[..]), 1 => Just(&b"\"("[..]),
                ],
                0..24,
            ),
        ) {
            let section = Bytes::from([pieces.concat(), b"\r\n\r\n".to_vec()].concat());
            let parsed = field_lines::<HeaderMap>(&section, 0, 0, &[]).map(|(map, _)| map);
            {
                let list = field_lines::<FieldList>(&section, 0, 0, &[]);
                prop_assert_eq!(&list.map(|(list, _)| list.to_map()), &parsed);
            }
            if let Ok(headers) = parsed {
                let mut ours = headers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                    .collect::<Vec<_>>();
                let mut theirs = by_httparse(&section).expect("httparse accepts it");
                // The map keeps the order of the lines of one name only.
                ours.sort_by(|one, other| one.0.cmp(&other.0));
                theirs.sort_by(|one, other| one.0.cmp(&other.0));
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
