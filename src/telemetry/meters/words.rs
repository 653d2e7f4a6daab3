//! Counters whose labels are all words of the crate's own: few, so that each key is made once and kept.
//!
//! Must not know what the words mean.

use std::sync::{PoisonError, RwLock};

use ::metrics::{Key, Label, with_recorder};

use super::METADATA;

/// The series of a counter with so many labels.
pub(super) struct Words<const N: usize> {
    name: &'static str,
    labels: [&'static str; N],
    made: RwLock<Vec<([&'static str; N], &'static Key)>>,
}

impl<const N: usize> Words<N> {
    pub(super) const fn new(name: &'static str, labels: [&'static str; N]) -> Self {
        Words {
            name,
            labels,
            made: RwLock::new(Vec::new()),
        }
    }

    /// Adds to the series with these words.
    pub(super) fn add(&self, words: [&'static str; N], count: u64) {
        let key = self.key(words);
        with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(count));
    }

    /// Adds nothing to each series that there is.
    pub(super) fn touch(&self) {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (_, key) in made {
            with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(0));
        }
    }

    fn key(&self, words: [&'static str; N]) -> &'static Key {
        let find = |made: &[([&str; N], &'static Key)]| Some(made.iter().find(|(of, _)| *of == words)?.1);
        let found = find(&self.made.read().unwrap_or_else(PoisonError::into_inner));
        found.unwrap_or_else(|| {
            let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
            find(&made).unwrap_or_else(|| {
                let labels = self.labels.into_iter().zip(words);
                let labels = labels.map(|(label, word)| Label::from_static_parts(label, word));
                let labels: &'static [Label] = Vec::leak(labels.collect());
                let key: &'static Key = Box::leak(Box::new(Key::from_static_labels(self.name, labels)));
                made.push((words, key));
                key
            })
        })
    }
}
