//! What a request is at one moment: its URI, which rewrites change, the values of its variables, the groups of the last regular
//! expression, and what has been answered so far.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method, StatusCode};

use super::location::Location;
use super::regex::Captures;
use super::tries::{Tries, Try};

/// The state of one request.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `$uri`: decoded, with dot segments resolved.
    pub(crate) uri: String,
    /// `$args`.
    pub(crate) args: String,
    pub(crate) method: Method,
    pub(crate) captures: Captures,
    /// The method of the request that asks this one on its way, which is the one that variables know.
    pub(crate) asking_method: Option<Method>,
    /// Of the variables that the configuration defines, by number; none as long as nobody has asked.
    pub(crate) values: Vec<Option<String>>,
    pub(crate) location: Option<Arc<Location>>,
    /// The URI is the client's own still, and what goes up is the target as it came.
    pub(crate) is_unparsed: bool,
    /// Its head could not be read: there is none of what variables ask of it.
    pub(crate) is_unread: bool,
    /// The URI is the one by which the location was found: no `break` has kept another one since the last redirection within.
    pub(crate) is_of_location: bool,
    /// It came by a redirection of the configuration's own.
    pub(crate) is_internal: bool,
    /// `error_page` has sent it here.
    pub(crate) is_error_page: bool,
    /// A location without `recursive_error_pages` has sent it to a page: no other page takes the place of that one.
    pub(crate) is_last_page: bool,
    /// `try_files` has found a file by this URI: the target still goes up as it came, but it is no longer what a prefix is replaced in.
    pub(crate) is_found: bool,
    /// `try_files` has found a file by this URI in the `alias` of a location by a regular expression.
    pub(crate) adds_to_alias: bool,
    /// The status that `error_page` keeps, whatever the page is answered with.
    pub(crate) kept_status: Option<StatusCode>,
    /// Fields that an answer has had which a page takes the place of, and that stay: where a client is sent, how it is asked for
    /// a password.
    pub(crate) fields: HeaderMap,
    /// How often it was redirected within.
    pub(crate) redirects: u8,
    /// The servers asked last, and what has come of it.
    pub(crate) tries: Option<Arc<Tries>>,
    /// What came of those of the locations before, whose answers something has taken the place of.
    pub(crate) tries_before: Vec<Vec<Try>>,
    /// The answer of the upstream.
    pub(crate) upstream: Option<(StatusCode, HeaderMap)>,
    /// The answer that goes to the client.
    pub(crate) sent: Option<(StatusCode, HeaderMap)>,
    /// `$request_length`, and whether more had come behind it (`$pipe`).
    pub(crate) length: u64,
    pub(crate) is_pipelined: bool,
    /// How many bytes the head of a 101 has had.
    pub(crate) head_sent: u64,
    /// `$limit_req_status` and `$limit_conn_status`.
    pub(crate) limit_req: Option<&'static str>,
    pub(crate) limit_conn: Option<&'static str>,
    /// It waits for a limit, or for what another request comes to.
    pub(crate) waits: bool,
    /// Which way it has taken, for somebody who wants to know.
    pub(crate) story: Option<Vec<String>>,
    /// A regular expression has given up, or a variable led to itself: the request is answered 500.
    pub(crate) has_failed: bool,
}

/// The state of a request, behind a lock that nobody else waits for.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new(state: State) -> Shared {
        Shared(Mutex::new(state))
    }

    /// To be let go of before another value is asked for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the groups of a match, and the variables that they are named after.
    pub(crate) fn matched(&self, captures: Captures, numbers: &[(usize, usize)]) {
        let mut state = self.lock();
        for (group, number) in numbers {
            let value = captures.get(*group).cloned().flatten();
            if let Some(slot) = state.values.get_mut(*number) {
                *slot = Some(value.unwrap_or_default());
            }
        }
        // As in nginx: those of the expression before are gone, also if this one has none.
        state.captures = captures;
    }

    pub(crate) fn fail(&self) {
        self.lock().has_failed = true;
    }

    /// Whether a value could not be had since this was asked last. The page of the 500 that comes of it may have its own values.
    pub(crate) fn has_failed(&self) -> bool {
        std::mem::take(&mut self.lock().has_failed)
    }
}
