//! `--explain`: which way a request takes, and why.

use super::request::Request;
use super::rewrite::End;

impl Request {
    /// Writes a step down, if somebody wants to know.
    pub(crate) fn explain(&self, step: impl FnOnce() -> String) {
        let mut state = self.state.lock();
        if state.story.is_some() {
            drop(state);
            let step = step();
            state = self.state.lock();
            if let Some(story) = &mut state.story {
                story.push(step);
            }
        }
    }

    /// What the lines of a server or a location have come to.
    pub(crate) fn explain_end(&self, of: &str, end: &End) {
        self.explain(|| match end {
            End::Same => format!("the lines of the {of} leave it as it is"),
            End::Rewritten => format!("the lines of the {of} make it {}", self.state.lock().uri),
            End::Answer(answer) => format!("the lines of the {of} answer {}", answer.status),
            End::Redirect(status, to) => format!("the lines of the {of} redirect ({status}) to {to}"),
        });
    }
}
