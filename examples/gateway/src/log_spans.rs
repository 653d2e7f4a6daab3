//! The spans that are open: each with its fields as text, in a place that another one takes when it has closed.
//!
//! Knows names and texts. It must not know events.

use tracing_core::Metadata;

/// So many places keep their buffers when their spans have closed: what many have needed is not kept for the few.
const KEPT: usize = 1024;

/// So many places at least are made at a time.
const FEW: usize = 64;

/// All spans of the process. The id of a span is its place and one.
#[derive(Default)]
pub(super) struct Spans {
    places: Vec<Place>,
    free: Vec<usize>,
}

struct Place {
    metadata: &'static Metadata<'static>,
    /// The id of the span around it.
    parent: Option<u64>,
    fields: String,
    /// How many handles and spans within it there are.
    references: usize,
}

impl Spans {
    /// The id of a span that opens.
    pub(super) fn open(&mut self, metadata: &'static Metadata<'static>, parent: Option<u64>) -> u64 {
        if let Some(parent) = parent {
            self.refer_to(parent);
        }
        let at = match self.free.pop() {
            Some(at) => {
                let place = &mut self.places[at];
                (place.metadata, place.parent, place.references) = (metadata, parent, 1);
                at
            }
            None => {
                if self.places.len() == self.places.capacity() {
                    // Doubled, as a vector grows otherwise, half of it would be there for nothing.
                    self.places.reserve_exact(FEW + self.places.len() / 8);
                }
                self.places.push(Place {
                    metadata,
                    parent,
                    fields: String::new(),
                    references: 1,
                });
                self.places.len() - 1
            }
        };
        at as u64 + 1
    }

    fn at(&mut self, id: u64) -> Option<&mut Place> {
        self.places.get_mut(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Has fields written behind those that a span has.
    pub(super) fn write_fields(&mut self, id: u64, write: impl FnOnce(&mut String)) {
        let is_kept = id <= KEPT as u64;
        if let Some(place) = self.at(id) {
            write(&mut place.fields);
            if !is_kept {
                // Among so many it stays as long as its tunnel does.
                place.fields.shrink_to_fit();
            }
        }
    }

    pub(super) fn metadata(&mut self, id: u64) -> Option<&'static Metadata<'static>> {
        Some(self.at(id)?.metadata)
    }

    pub(super) fn refer_to(&mut self, id: u64) {
        if let Some(place) = self.at(id) {
            place.references += 1;
        }
    }

    /// One handle less. True if the span has closed with it.
    pub(super) fn release(&mut self, id: u64) -> bool {
        let Some(place) = self.at(id) else { return false };
        place.references = place.references.saturating_sub(1);
        if place.references > 0 {
            return false;
        }
        let parent = place.parent.take();
        let at = (id - 1) as usize;
        match at < KEPT {
            true => place.fields.clear(),
            false => place.fields = String::new(),
        }
        self.free.push(at);
        if let Some(parent) = parent {
            self.release(parent);
        }
        true
    }

    /// Appends the span and those around it, the outermost first: `upgrade{…}:tunnel{…}:`.
    pub(super) fn write(&mut self, id: u64, line: &mut String) {
        let Some(parent) = self.at(id).map(|place| place.parent) else {
            return;
        };
        if let Some(parent) = parent {
            self.write(parent, line);
        }
        if let Some(place) = self.at(id) {
            line.push_str(place.metadata.name());
            if !place.fields.is_empty() {
                line.push('{');
                line.push_str(&place.fields);
                line.push('}');
            }
            line.push(':');
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_core::callsite::Callsite;
    use tracing_core::{Kind, Level, subscriber::Interest};

    use super::*;

    struct Site;

    impl Callsite for Site {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            &UPGRADE
        }
    }

    static SITE: Site = Site;
    static UPGRADE: Metadata<'static> = tracing_core::metadata! {
        name: "upgrade",
        target: "switchover",
        level: Level::INFO,
        fields: &[],
        callsite: &SITE,
        kind: Kind::SPAN,
    };

    #[test]
    fn many_that_are_open_hold_what_they_say_and_no_more() {
        let mut spans = Spans::default();
        for _ in 0..2 * KEPT {
            let id = spans.open(&UPGRADE, None);
            spans.write_fields(id, |fields| fields.push_str("url.path=\"/chat\""));
            spans.write_fields(id, |fields| fields.push_str(" http.response.status_code=101"));
        }
        for place in &spans.places[KEPT..] {
            assert_eq!(place.fields.capacity(), place.fields.len());
        }
        assert!(spans.places.capacity() <= spans.places.len() * 9 / 8 + FEW);
    }

    #[test]
    fn a_span_stays_as_long_as_anything_refers_to_it_and_its_place_is_taken_by_the_next() {
        let mut spans = Spans::default();
        let outer = spans.open(&UPGRADE, None);
        spans.write_fields(outer, |fields| fields.push_str("a=1"));
        let inner = spans.open(&UPGRADE, Some(outer));
        spans.refer_to(inner);
        assert!(!spans.release(inner) && !spans.release(outer));

        let mut line = String::new();
        spans.write(inner, &mut line);
        assert_eq!(line, "upgrade{a=1}:upgrade:");

        assert!(spans.release(inner), "and the one around it");
        let again = [spans.open(&UPGRADE, None), spans.open(&UPGRADE, None)];
        assert!(again.contains(&outer) && again.contains(&inner), "{again:?}");
        for id in again {
            spans.write_fields(id, |fields| assert_eq!(fields, ""));
            assert!(spans.release(id));
        }
    }
}
