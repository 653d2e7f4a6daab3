//! The parameters of a request: names, each at most once, with their values. They stand in the query, or in a JSON object as the body.

use std::fmt;
use std::time::Duration;

use http::Uri;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::flags;

pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(uri: &Uri, body: &[u8]) -> Result<Query, String> {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let mut pairs: Vec<(String, String)> = pairs.into_owned().collect();
        if !body.is_empty() {
            let Fields(fields) = serde_json::from_slice(body).map_err(|why| {
                format!("the body has to be a JSON object, such as {{\"id\": \"7-3\"}}: {why}")
            })?;
            for (name, value) in fields {
                let text = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(is_set) => is_set.to_string(),
                    _ => return Err(format!("{name}: expected a string, a number, true or false")),
                };
                pairs.push((name, text));
            }
        }
        Ok(Query(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// An error if there are other names than these, or one twice: a filter that is misspelt must not select everything.
    pub(super) fn allow(&self, names: &[&str]) -> Result<(), String> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                let known = match names {
                    [] => "no parameter is known here".to_owned(),
                    _ => format!("expected one of {}", names.join(", ")),
                };
                return Err(format!("{name}: {known}"));
            }
            if self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(format!("{name}: expected once"));
            }
        }
        Ok(())
    }

    /// The value of a name, by whatever reads it. The error names it.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.get(name).map(parse).transpose();
        value.map_err(|why| format!("{name}: {why}"))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, String> {
        self.parsed(name, |text| {
            text.parse().map_err(|_| "expected a whole number".to_owned())
        })
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        self.parsed(name, flags::duration_or_zero)
    }

    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        self.parsed(name, |text| {
            text.parse().map_err(|_| "expected true or false".to_owned())
        })
    }
}

/// The members of a JSON object as they stand there. [`Value`] keeps the last one of a name, and forgets that there were others.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(member) = members.next_entry()? {
                    fields.push(member);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
