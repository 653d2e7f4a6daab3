//! The fields of a message on its way through: lines in their order, and their values in one piece of text.
//!
//! A map hashes each name, holds each value by itself, and is cheap where it is asked often. The fields of a request that is forwarded
//! are asked a few times, changed once and written. Where somebody wants the map, it is made of the list.

mod line;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use self::line::{COMMON, Line, Piece, Place};
use super::HeadError;
use super::any_fields::AnyFields;
use super::encode::{LINE_END, encode_line};
use super::fields::ReceivedLine;
use super::marks::{Marks, bit};

/// The most bytes that a list holds.
const MOST: usize = u32::MAX as usize;

/// Field lines, each with a name and a value that are sound: no value holds a control byte but tabs. Nearly all of them stand somewhere
/// as they are sent, those that were received and those that were added, so that several go out in one piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldList {
    /// The bytes that lines were received in.
    section: Bytes,
    /// Those of all other lines.
    text: Vec<u8>,
    lines: Vec<Line>,
    /// The marks of all names that were ever here: most questions are about fields that are not.
    marks: Marks,
}

impl FieldList {
    /// Room for what a proxy adds to a request: the list does not grow again.
    pub(super) const ADDED: usize = 6;

    /// An empty list, of lines whose values stand in these bytes.
    pub(super) fn within(section: Bytes, room: usize) -> Self {
        FieldList {
            section,
            text: Vec::new(),
            lines: Vec::with_capacity(room),
            marks: Marks::default(),
        }
    }

    /// A line as it was received.
    pub(super) fn receive(&mut self, line: ReceivedLine) -> Result<(), HeadError> {
        let ReceivedLine {
            name,
            bit,
            value,
            lead,
        } = line;
        let value = Place::at(value, true).ok_or(HeadError::TooLarge { limit: MOST })?;
        self.lines.push(Line {
            name,
            value,
            bit,
            lead,
        });
        Ok(())
    }

    /// All lines were received, and these are the marks of their names.
    pub(super) fn marked(&mut self, marks: Marks) {
        self.marks = marks;
    }

    /// The lines of a map.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let room = headers.len() + FieldList::ADDED;
        let mut list = FieldList::within(Bytes::new(), room);
        list.text.reserve(room * COMMON);
        for (name, value) in headers {
            list.push(name.clone(), value.as_bytes());
        }
        list
    }

    /// The same as a map.
    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.lines.len());
        for line in &self.lines {
            // All are sound: none is missing.
            if let Some(value) = self.value(&line.value) {
                headers.append(line.name.clone(), value);
            }
        }
        headers
    }

    /// A copy with room for what a proxy adds.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub(super) fn copied(&self) -> Self {
        let mut lines = Vec::with_capacity(self.lines.len() + FieldList::ADDED);
        lines.extend_from_slice(&self.lines);
        FieldList {
            section: self.section.clone(),
            text: self.text.clone(),
            lines,
            marks: self.marks,
        }
    }

    /// A value by itself. That of a line that was received shares its bytes.
    fn value(&self, place: &Place) -> Option<HeaderValue> {
        let bytes = self.bytes(place);
        let value = match place.is_received {
            true => HeaderValue::from_maybe_shared(self.section.slice_ref(bytes)),
            false => HeaderValue::from_bytes(bytes),
        };
        value.ok()
    }

    /// A line in front of all others.
    #[cfg_attr(not(feature = "hyper"), allow(dead_code))]
    pub(crate) fn add_in_front(&mut self, name: HeaderName, value: &HeaderValue) {
        let bit = self.marks.add(&name);
        let line = Line::written(&mut self.text, name, bit, value.as_bytes());
        self.lines.insert(0, line);
    }

    fn bytes(&self, place: &Place) -> &[u8] {
        let bytes = self.source(place.is_received).get(place.range());
        bytes.unwrap_or_default()
    }

    fn source(&self, is_received: bool) -> &[u8] {
        match is_received {
            true => &self.section,
            false => &self.text,
        }
    }

    fn push(&mut self, name: HeaderName, value: &[u8]) {
        let bit = self.marks.add(&name);
        let line = Line::written(&mut self.text, name, bit, value);
        self.lines.push(line);
    }

    fn append(&self, piece: Piece, into: &mut Vec<u8>) {
        if piece.begin < piece.end {
            let bytes = self.source(piece.is_received).get(piece.begin..piece.end);
            into.extend_from_slice(bytes.unwrap_or_default());
        }
    }

    fn position(&self, name: &HeaderName) -> Option<usize> {
        let bit = bit(name);
        if !self.marks.has(bit) {
            return None;
        }
        let is_it = |line: &Line| line.bit == bit && line.name == *name;
        self.lines.iter().position(is_it)
    }
}

impl AnyFields for FieldList {
    fn count(&self) -> usize {
        self.lines.len()
    }

    fn repeats_nothing(&self) -> bool {
        !self.marks.may_repeat()
    }

    fn may_have_underscores(&self) -> bool {
        self.marks.may_have_underscores()
    }

    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        let at = self.position(name)?;
        Some(self.bytes(&self.lines[at].value))
    }

    fn lines(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let bit = bit(name);
        let lines = match self.marks.has(bit) {
            true => &self.lines[..],
            false => &[],
        };
        let of_field = lines
            .iter()
            .filter(move |line| line.bit == bit && line.name == *name);
        // Where no field is repeated, nobody looks for a second line.
        let most = if self.repeats_nothing() { 1 } else { usize::MAX };
        of_field.take(most).map(|line| self.bytes(&line.value))
    }

    fn values(&self, name: &HeaderName) -> Vec<HeaderValue> {
        if !self.marks.may_have(name) {
            return Vec::new();
        }
        let of_field = self.lines.iter().filter(|line| line.name == *name);
        of_field.filter_map(|line| self.value(&line.value)).collect()
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.position(name).is_some()
    }

    fn has_any(&self, names: &[HeaderName]) -> bool {
        names.iter().any(|name| self.contains(name))
    }

    fn each(&self, mut each: impl FnMut(&HeaderName, &[u8])) {
        for line in &self.lines {
            each(&line.name, self.bytes(&line.value));
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let mut piece = Piece::default();
        for line in &self.lines {
            let (value, lead) = (&line.value, usize::from(line.lead));
            let begin = (value.begin as usize).saturating_sub(lead);
            if lead == 0 || begin != piece.end || value.is_received != piece.is_received {
                self.append(std::mem::take(&mut piece), into);
                if lead == 0 {
                    encode_line(&line.name, self.bytes(value), into);
                    continue;
                }
                piece.begin = begin;
                piece.is_received = value.is_received;
            }
            piece.end = value.end as usize + LINE_END.len();
        }
        self.append(piece, into);
    }

    fn make_room(&mut self, lines: usize) {
        self.lines.reserve(lines);
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.set_text(name, value.as_bytes());
    }

    fn set_text(&mut self, name: HeaderName, value: &[u8]) {
        let Some(at) = self.position(&name) else {
            return self.push(name, value);
        };
        if !self.repeats_nothing() {
            let mut is_first = true;
            self.lines
                .retain(|line| line.name != name || std::mem::take(&mut is_first));
        }
        let bit = self.lines[at].bit;
        self.lines[at] = Line::written(&mut self.text, name, bit, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.push(name, value.as_bytes());
    }

    fn add_if_none(&mut self, name: HeaderName, value: &[u8]) -> bool {
        let is_new = !self.contains(&name);
        if is_new {
            self.push(name, value);
        }
        is_new
    }

    fn copy_if_none(&mut self, from: &HeaderName, to: HeaderName) {
        if let (Some(at), None) = (self.position(from), self.position(&to)) {
            let (value, bit) = (self.lines[at].value, self.marks.add(&to));
            let line = match self.section.get(value.range()) {
                Some(value_text) if value.is_received => Line::written(&mut self.text, to, bit, value_text),
                // The line that stands there has the other name.
                _ => Line {
                    name: to,
                    value,
                    bit,
                    lead: 0,
                },
            };
            self.lines.push(line);
        }
    }

    fn change_first(&mut self, name: &HeaderName, value: HeaderValue) {
        if let Some(at) = self.position(name) {
            let bit = self.lines[at].bit;
            self.lines[at] = Line::written(&mut self.text, name.clone(), bit, value.as_bytes());
        }
    }

    fn keep_only(&mut self, mut keep: impl FnMut(&HeaderName) -> bool) {
        self.lines.retain(|line| keep(&line.name));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST};
    use proptest::prelude::*;

    use super::super::fields::field_lines;
    use super::*;

    const NAMES: [HeaderName; 5] = [
        HOST,
        ACCEPT,
        HeaderName::from_static("x-a"),
        HeaderName::from_static("x-b"),
        HeaderName::from_static("x_b"),
    ];

    /// A line as somebody may send it.
    fn spelled(name: usize, spelling: usize, value: &str) -> String {
        let usual = ["Host", "Accept", "X-A", "X-B", "X_b"][name];
        match spelling {
            0 => format!("{usual}: {value}\r\n"),
            1 => format!("{}: {value}\r\n", NAMES[name]),
            2 => format!("{usual}:{value}\r\n"),
            3 => format!("{usual}:\t{value}\r\n"),
            4 => format!("{usual}:  {value}\r\n"),
            _ => format!("{usual}: {value} \r\n"),
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Change {
        Set,
        SetText,
        Add,
        AddIfNone,
        CopyIfNone,
        OfFirst,
        TakeOut,
        KeepOnly,
    }

    fn change(fields: &mut impl AnyFields, change: Change, name: &HeaderName, value: &HeaderValue) {
        let (owned, value) = (name.clone(), value.clone());
        match change {
            Change::Set => fields.set(owned, value),
            Change::Add => fields.add(owned, value),
            Change::SetText => fields.set_text(owned, value.as_bytes()),
            Change::AddIfNone => {
                let is_new = !fields.contains(name);
                assert_eq!(fields.add_if_none(owned, value.as_bytes()), is_new);
            }
            Change::CopyIfNone => fields.copy_if_none(&HOST, owned),
            Change::OfFirst => fields.change_first(name, value),
            Change::TakeOut => fields.take_out(name),
            Change::KeepOnly => fields.keep_only(|other| other.as_str() <= name.as_str()),
        }
    }

    /// All that can be asked.
    fn answers(fields: &impl AnyFields) -> Vec<String> {
        let mut names: Vec<(HeaderName, Vec<String>)> = Vec::new();
        fields.each(|name, value| {
            let text = String::from_utf8_lossy(value);
            match names.iter().position(|(other, _)| other == name) {
                Some(at) => names[at].1.push(text.into_owned()),
                None => names.push((name.clone(), vec![text.into_owned()])),
            }
        });
        let mut found = vec![format!("{} {names:?}", fields.count())];
        let (mut encoded, mut by_line) = (Vec::new(), Vec::new());
        fields.encode(&mut encoded);
        fields.each(|name, value| encode_line(name, value, &mut by_line));
        assert_eq!(String::from_utf8(encoded), String::from_utf8(by_line));
        for name in &NAMES {
            let lines: Vec<&[u8]> = fields.lines(name).collect();
            assert!(fields.may_have_underscores() || lines.is_empty() || !name.as_str().contains('_'));
            assert_eq!(fields.contains(name), !lines.is_empty());
            assert_eq!(fields.has_any(std::slice::from_ref(name)), !lines.is_empty());
            assert!(
                fields
                    .values(name)
                    .iter()
                    .map(HeaderValue::as_bytes)
                    .eq(lines.iter().copied())
            );
            assert_eq!(fields.first(name), lines.first().copied());
            assert!(!fields.repeats_nothing() || lines.len() < 2);
            found.push(format!("{lines:?}"));
        }
        found
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            Just(Change::Set),
            Just(Change::SetText),
            Just(Change::Add),
            Just(Change::AddIfNone),
            Just(Change::CopyIfNone),
            Just(Change::OfFirst),
            Just(Change::TakeOut),
            Just(Change::KeepOnly),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// Whatever happens to both, a list and a map have the same fields in the same order, each with the same lines in theirs.
        #[test]
        fn a_list_is_changed_as_a_map_is(
            received in prop::collection::vec((0..5usize, prop_oneof![Just(0usize), 0..6usize], "[a-z]{0,2}"), 0..6),
            changes in prop::collection::vec((any_change(), 0..5usize, "[a-z]{0,2}"), 0..8),
        ) {
            let lines = received.iter().map(|(name, spelling, value)| spelled(*name, *spelling, value));
            let section = Bytes::from(lines.collect::<String>() + "\r\n");
            let (mut list, _) = field_lines::<FieldList>(&section, 0, 0, &[]).unwrap();
            let (mut map, _) = field_lines::<HeaderMap>(&section, 0, 0, &[]).unwrap();
            prop_assert_eq!(answers(&list), answers(&map));
            for (kind, name, value) in changes {
                let value = HeaderValue::from_str(&value).unwrap();
                change(&mut list, kind, &NAMES[name], &value);
                change(&mut map, kind, &NAMES[name], &value);
                prop_assert_eq!(answers(&list), answers(&map));
            }
            prop_assert_eq!(&list.to_map(), &map);
            prop_assert_eq!(&FieldList::of(&map).to_map(), &map);
        }
    }

    #[test]
    fn a_line_in_front_is_the_first() {
        let mut list = FieldList::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("a"))]));
        list.add_in_front(HOST, &HeaderValue::from_static("b"));
        let mut names = Vec::new();
        list.each(|name, _| names.push(name.clone()));
        assert_eq!(names, [HOST, ACCEPT]);
    }
}
