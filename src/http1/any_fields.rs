//! What a rule asks of the fields of a message, and does to them, whatever holds them: the map that callers know, or the
//! list in which a request that is forwarded passes through.
//!
//! It must not know any field by name.

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};

use super::encode::encode_line;

/// The fields of a message. The lines of one field keep their order in all that is done here, and so do the fields.
pub(crate) trait AnyFields {
    /// How many lines there are.
    fn count(&self) -> usize;

    /// Whether it is known without a search that each field has one line.
    fn repeats_nothing(&self) -> bool;

    /// False if no name has an underscore.
    fn may_have_underscores(&self) -> bool {
        true
    }

    /// The value of the first line of a field.
    fn first(&self, name: &HeaderName) -> Option<&[u8]>;

    /// The values of all its lines.
    fn lines(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]>;

    /// The same, each by itself.
    fn values(&self, name: &HeaderName) -> Vec<HeaderValue>;

    /// Whether it is there.
    fn contains(&self, name: &HeaderName) -> bool;

    /// Whether one of these is there.
    fn has_any(&self, names: &[HeaderName]) -> bool;

    /// Each line, with the name of its field.
    fn each(&self, each: impl FnMut(&HeaderName, &[u8]));

    /// Appends all lines as they are sent, without the empty line behind them.
    fn encode(&self, into: &mut Vec<u8>) {
        self.each(|name, value| encode_line(name, value, into));
    }

    /// Makes room for so many lines more.
    fn make_room(&mut self, lines: usize);

    /// This line takes the place of all lines of the field. Where there are none, it is the last line of the message.
    fn set(&mut self, name: HeaderName, value: HeaderValue);

    /// As [`set`](AnyFields::set), of a text that is sound as a value.
    fn set_text(&mut self, name: HeaderName, value: &[u8]);

    /// One line more.
    fn add(&mut self, name: HeaderName, value: HeaderValue);

    /// A line, if the field has none, of a text that is sound as a value. Whether it is there now.
    fn add_if_none(&mut self, name: HeaderName, value: &[u8]) -> bool;

    /// The value of the first line of a field as a line of another, if that has none.
    fn copy_if_none(&mut self, from: &HeaderName, to: HeaderName);

    /// Another value for the first line of a field that is there.
    fn change_first(&mut self, name: &HeaderName, value: HeaderValue);

    /// Removes the fields for which `keep` does not say that they stay.
    fn keep_only(&mut self, keep: impl FnMut(&HeaderName) -> bool);

    /// Removes a field.
    fn take_out(&mut self, name: &HeaderName) {
        if self.contains(name) {
            self.keep_only(|other| other != name);
        }
    }
}

impl AnyFields for HeaderMap {
    fn count(&self) -> usize {
        self.len()
    }

    fn repeats_nothing(&self) -> bool {
        self.len() == self.keys_len()
    }

    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get(name).map(HeaderValue::as_bytes)
    }

    fn lines(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn values(&self, name: &HeaderName) -> Vec<HeaderValue> {
        self.get_all(name).iter().cloned().collect()
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.contains_key(name)
    }

    fn has_any(&self, names: &[HeaderName]) -> bool {
        // By the fields that are there, which costs less than to look for each of these.
        self.keys().any(|name| names.contains(name))
    }

    fn each(&self, mut each: impl FnMut(&HeaderName, &[u8])) {
        for (name, value) in self {
            each(name, value.as_bytes());
        }
    }

    fn make_room(&mut self, lines: usize) {
        // A map that may not grow so far refuses the line that is too many.
        let _ = self.try_reserve(lines);
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn set_text(&mut self, name: HeaderName, value: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.insert(name, value);
        }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn add_if_none(&mut self, name: HeaderName, value: &[u8]) -> bool {
        match (self.entry(name), HeaderValue::from_bytes(value)) {
            (Entry::Vacant(vacant), Ok(value)) => {
                vacant.insert(value);
                true
            }
            _ => false,
        }
    }

    fn copy_if_none(&mut self, from: &HeaderName, to: HeaderName) {
        if let Some(value) = self.get(from).cloned() {
            self.entry(to).or_insert(value);
        }
    }

    fn change_first(&mut self, name: &HeaderName, value: HeaderValue) {
        if let Some(first) = self.get_mut(name) {
            *first = value;
        }
    }

    fn keep_only(&mut self, mut keep: impl FnMut(&HeaderName) -> bool) {
        if self.keys().all(&mut keep) {
            return;
        }
        // `HeaderMap::remove` would move the last field to the place of the one that goes. Room for the one or two that take the
        // place of those that go: a caller that adds more, as a forwarded request does, lets it grow once.
        let mut kept = HeaderMap::with_capacity(self.len());
        let mut current = None;
        for (name, value) in std::mem::take(self) {
            match name {
                // The iterator names a field at its first value only.
                Some(name) if keep(&name) => {
                    kept.append(name.clone(), value);
                    current = Some(name);
                }
                Some(_) => current = None,
                None => {
                    if let Some(name) = &current {
                        kept.append(name.clone(), value);
                    }
                }
            }
        }
        *self = kept;
    }
}
