//! One thing that is wrong with one attempt, and what is known beyond its diagnosis.

use std::fmt;

use super::{Diagnosis, Product, Severity, lines};

/// What is wrong with an attempt: a [`Diagnosis`], what in this attempt shows it, and the products that were seen on the way.
///
/// `Display` is one line: severity, name, sentence and detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    diagnosis: Diagnosis,
    certain: bool,
    detail: Option<String>,
    change: Option<&'static str>,
    seen: Option<String>,
    products: Vec<Product>,
}

impl Finding {
    /// Something that the attempt shows.
    pub(super) fn certain(diagnosis: Diagnosis) -> Self {
        Finding {
            diagnosis,
            certain: true,
            detail: None,
            change: None,
            seen: None,
            products: Vec::new(),
        }
    }

    /// Something that the attempt lets one suppose.
    pub(super) fn likely(diagnosis: Diagnosis) -> Self {
        Finding {
            certain: false,
            ..Finding::certain(diagnosis)
        }
    }

    pub(super) fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// A remedy that is closer than the diagnosis's own.
    pub(super) fn changing(mut self, change: &'static str) -> Self {
        self.change = Some(change);
        self
    }

    pub(super) fn seen_on_the_way(&mut self, seen: Option<String>, products: &[Product]) {
        self.seen = seen;
        self.products = products.to_vec();
    }

    /// What it is.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        self.diagnosis
    }

    /// The stable name of the diagnosis.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.diagnosis.name()
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.diagnosis.severity()
    }

    /// Whether the facts show it. If not, they let one suppose it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.certain
    }

    /// What is wrong, in one sentence: the diagnosis's, and what in this attempt shows it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let probably = if self.certain { "" } else { "probably " };
        let sentence = self.diagnosis.sentence();
        match &self.detail {
            Some(detail) => format!("{probably}{sentence} ({detail})"),
            None => format!("{probably}{sentence}"),
        }
    }

    /// What to change.
    #[must_use]
    pub fn change(&self) -> &'static str {
        self.change.unwrap_or_else(|| self.diagnosis.change())
    }

    /// Who has answered, and through whom, by the fields of the answer: `nginx/1.22.1 (Server), 1.1 varnish (Via)`.
    #[must_use]
    pub fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    /// What to write in the configuration of those products for which that is known. Where the answer names some of them,
    /// of those alone.
    #[must_use]
    pub fn lines(&self) -> Vec<(Product, &'static str)> {
        let of = |product: &Product| lines::of(self.diagnosis, *product).map(|line| (*product, line));
        let seen: Vec<_> = self.products.iter().filter_map(of).collect();
        match seen.is_empty() {
            true => Product::CONFIGURED.iter().filter_map(of).collect(),
            false => seen,
        }
    }

    /// Where that is written: the section of an RFC.
    #[must_use]
    pub fn reference(&self) -> &'static str {
        self.diagnosis.reference()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity(), self.name(), self.sentence())
    }
}
