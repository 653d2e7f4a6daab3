//! What is wrong with a configuration, what of it is not carried out, and what else is worth knowing: each with the file
//! and the line that it is about.

use std::fmt::{self, Write};
use std::sync::Arc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    /// From 1; 0 is the file as a whole.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name may have a line break, and this is on one line wherever it is written.
        let mut signs = self.file.chars().filter(|sign| !sign.is_control());
        signs.try_for_each(|sign| f.write_char(sign))?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// nginx would not start either, or what is not carried out guards something.
    Error,
    /// Not carried out.
    Warning,
    /// Carried out, and probably not what was meant.
    Hint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    place: Place,
    text: String,
}

/// All that was found, each finding once.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn error(&mut self, place: &Place, text: impl Into<String>) {
        self.add(Weight::Error, place, text.into());
    }

    pub(crate) fn warning(&mut self, place: &Place, text: impl Into<String>) {
        self.add(Weight::Warning, place, text.into());
    }

    pub(crate) fn hint(&mut self, place: &Place, text: impl Into<String>) {
        self.add(Weight::Hint, place, text.into());
    }

    /// A line of `http` is looked at again for each location that it is for.
    fn add(&mut self, weight: Weight, place: &Place, text: String) {
        let finding = Finding {
            weight,
            place: place.clone(),
            text,
        };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// Whether nothing may be served: there are errors, or warnings where those count as such.
    pub(crate) fn forbid(&self, strict: bool) -> bool {
        let limit = if strict { Weight::Warning } else { Weight::Error };
        self.0.iter().any(|finding| finding.weight <= limit)
    }

    /// One line for each, the hints only if they are wanted.
    pub(crate) fn lines(&self, hints: bool) -> impl Iterator<Item = String> + '_ {
        let wanted = self
            .0
            .iter()
            .filter(move |finding| hints || finding.weight != Weight::Hint);
        wanted.map(|Finding { weight, place, text }| {
            let weight = match weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
                Weight::Hint => "hint",
            };
            format!("{weight}: {place}: {text}")
        })
    }
}
