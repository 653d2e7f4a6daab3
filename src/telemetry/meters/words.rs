//! Counters whose labels are all words of the crate's own: few, so that each series is made once and kept.
//!
//! Must not know what the words mean.

use std::sync::{PoisonError, RwLock};

use ::metrics::{Counter, Key, Label};

use super::series::Series;

/// The series of a counter with so many labels.
pub(super) struct Words<const N: usize> {
    name: &'static str,
    labels: [&'static str; N],
    made: RwLock<Vec<([&'static str; N], &'static Series<Counter>)>>,
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
        self.series(words).add(count);
    }

    /// Adds nothing to each series that there is.
    pub(super) fn touch(&self) {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        made.iter().for_each(|(_, series)| series.add(0));
    }

    fn series(&self, words: [&'static str; N]) -> &'static Series<Counter> {
        let find = |made: &[([&str; N], &'static Series<Counter>)]| {
            Some(made.iter().find(|(of, _)| *of == words)?.1)
        };
        let found = find(&self.made.read().unwrap_or_else(PoisonError::into_inner));
        found.unwrap_or_else(|| {
            let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
            find(&made).unwrap_or_else(|| {
                let labels = self.labels.into_iter().zip(words);
                let labels = labels.map(|(label, word)| Label::from_static_parts(label, word));
                let labels: &'static [Label] = Vec::leak(labels.collect());
                let series = Series::new(Key::from_static_labels(self.name, labels));
                let series: &'static Series<Counter> = Box::leak(Box::new(series));
                made.push((words, series));
                series
            })
        })
    }
}
