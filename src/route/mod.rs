//! Floor 3: which upstream a request goes to, by host and path. Pure; knows no upstream.
//!
//! Two ways to say it:
//!
//! - [`Routes`] is one flat table of `[HOST]/PREFIX`, in which a request that nothing for its host matches goes on to
//!   what is for every host;
//! - [`Hosts`] of [`Locations`] is nginx's nesting: the server first, by its name; the location in that server alone.
//!
//! Both compare decoded paths, and find no route for a path that leads to different routes when it is read in
//! different ways: [`PathReading`].
//!
//! ```
//! use switchover::route::{Routes, RoutePattern};
//!
//! let mut routes = Routes::default();
//! routes.add("/".parse::<RoutePattern>()?, "everything else")?;
//! routes.add("/api/ws".parse()?, "the API's socket")?;
//! routes.add("=/health".parse()?, "this path alone")?;
//! routes.add("chat.example.com/".parse()?, "the chat")?;
//! routes.add("*.example.com/".parse()?, "a tenant")?;
//!
//! let found = routes.find(Some("example.org:8080"), "/api/ws/7").unwrap();
//! assert_eq!(*found.value, "the API's socket");
//! assert_eq!(found.replace_prefix("/ws", "/api/ws/7?x=1").unwrap(), "/ws/7?x=1");
//! assert_eq!(*routes.find(Some("Chat.Example.com"), "/").unwrap().value, "the chat");
//! assert_eq!(*routes.find(Some("acme.example.com"), "/").unwrap().value, "a tenant");
//! assert!(routes.find(None, "/x/..%2Fapi/ws").is_err(), "nobody knows what this names");
//! # Ok::<(), switchover::route::RouteError>(())
//! ```

mod found;
mod host;
mod hosts;
mod locations;
mod path;
mod pattern;
mod percent;
mod reading;
mod routes;

pub use found::Found;
pub use host::{HostPattern, HostPatternError};
pub use hosts::{Hosts, HostsError};
pub use locations::Locations;
pub use path::{PathPattern, PathPatternError};
pub use pattern::{RouteError, RoutePattern};
pub use reading::{NoRoute, PathReading, is_plain_path, path_as_nginx};
pub use routes::Routes;
