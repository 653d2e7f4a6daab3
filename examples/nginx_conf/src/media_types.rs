//! `types` and `default_type`: of which type a URI's content is, by what its last segment ends with.

use std::collections::HashMap;
use std::sync::Arc;

use super::scope::At;
use super::tree::Directive;

/// The types that hold where the configuration has no `types`, as in nginx.
const BUILT_IN: [(&str, &str); 3] = [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")];

/// The types of one level. Those of an inner one take the place of all of an outer one.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaTypes {
    /// By the ending, in lower case. None is what is built in.
    of_endings: Option<Arc<HashMap<String, String>>>,
    default: Option<String>,
}

impl MediaTypes {
    /// The types of a level without `types` of its own.
    pub(crate) fn new(
        of_endings: &Option<Arc<HashMap<String, String>>>,
        default: &Option<At<String>>,
    ) -> Self {
        MediaTypes {
            of_endings: of_endings.clone(),
            default: default.as_ref().map(|said| said.value.clone()),
        }
    }

    /// The type of what is at a URI.
    pub(crate) fn of(&self, uri: &str) -> &str {
        let segment = uri.rsplit('/').next().unwrap_or_default();
        let ending = segment
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_ascii_lowercase());
        let found = ending.and_then(|ending| match &self.of_endings {
            Some(types) => types.get(&ending).map(String::as_str),
            None => BUILT_IN
                .iter()
                .find(|(known, _)| *known == ending)
                .map(|(_, kind)| *kind),
        });
        found.unwrap_or_else(|| self.default.as_deref().unwrap_or("text/plain"))
    }
}

/// Adds the lines of a block to the types of a level.
pub(crate) fn read(block: &Directive, types: &mut Option<Arc<HashMap<String, String>>>, is_first: bool) {
    let mut all = match types.take() {
        Some(before) if !is_first => Arc::unwrap_or_clone(before),
        _ => HashMap::new(),
    };
    for line in block.lines() {
        for ending in &line.arguments {
            all.insert(ending.to_ascii_lowercase(), line.name.clone());
        }
    }
    *types = Some(Arc::new(all));
}
