//! The flags: where to look, with what, and a clear error for one that is wrong.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::url::Url;

pub(crate) const USAGE: &str = "\
Why a WebSocket upgrade fails, and at which hop.

  doctor [FLAGS] URL [URL...]     ws, wss, http or https: from outside to inside, as the public URL, the one behind the
                                  content delivery network, the one of the application
  doctor --listen ADDR            an origin to be put in place of the application. It reports to every client which request
                                  arrived, with everything that the proxies added: do not leave it running

  --header 'NAME: VALUE'  a field of the request, repeatable. Host replaces the URL's
  --origin ORIGIN         the page's origin, as a browser sends it; none for no such field (the URL's own)
  --subprotocol NAME      offer this subprotocol, repeatable
  --idle DURATION         after the handshake say nothing for so long, to see what ends an idle connection
  --timeout DURATION      for each step: connecting with TLS, the answer, a frame (5s)
  --deadline DURATION     for everything but --idle; what was not tried by then is left out (60s)
  --ca FILE               trust certificates by these roots (PEM; the system's roots)
  --insecure              trust any certificate
  --json                  the report as JSON; the README has its fields
  --show-secrets          show credentials, cookies and the values in queries too
  --version               the version
  --help                  this text

DURATION is a number with ms, s, m or h, up to 1000h. Credentials, cookies and the values in queries are not shown.
The first line is the verdict: the cause, and what to change.
Exit status: 0 nothing is wrong, 1 a fault was found (an error or a warning), 2 the flags are wrong.
";

/// The longest time that a flag may name. No clock ends before it.
const LONGEST: Duration = Duration::from_secs(1000 * 60 * 60);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    Examine(Flags),
    /// A text, and nothing else.
    Text(String),
}

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) urls: Vec<Url>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) origin: PageOrigin,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) idle: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) json: bool,
    pub(crate) show_secrets: bool,
}

/// The page that opens the WebSocket.
#[derive(Clone, Debug)]
pub(crate) enum PageOrigin {
    /// One of the same site.
    Own,
    /// None: not a browser.
    Absent,
    Given(HeaderValue),
}

/// The flags that have a value.
const VALUED: &[&str] = &[
    "--ca",
    "--deadline",
    "--header",
    "--idle",
    "--listen",
    "--origin",
    "--subprotocol",
    "--timeout",
];

impl Flags {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Wish, String> {
        let mut flags = Flags {
            urls: Vec::new(),
            listen: None,
            fields: Vec::new(),
            origin: PageOrigin::Own,
            subprotocols: Vec::new(),
            idle: None,
            timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
            ca: None,
            insecure: false,
            json: false,
            show_secrets: false,
        };
        let text = |argument: OsString| {
            let broken = |argument: OsString| format!("{}: not UTF-8", argument.to_string_lossy());
            argument.into_string().map_err(broken)
        };
        let arguments = arguments.into_iter().map(|argument| text(argument.into()));
        let arguments: Vec<String> = arguments.collect::<Result<_, _>>()?;
        let mut arguments = arguments.into_iter();
        // Those that were given, in their order.
        let mut given = Vec::new();
        while let Some(argument) = arguments.next() {
            if argument.starts_with("--") {
                given.push(argument.clone());
            }
            match &*argument {
                "-h" | "--help" => return Ok(Wish::Text(USAGE.to_owned())),
                "-V" | "--version" => {
                    return Ok(Wish::Text(format!("doctor {}\n", env!("CARGO_PKG_VERSION"))));
                }
                "--insecure" => flags.insecure = true,
                "--json" => flags.json = true,
                "--show-secrets" => flags.show_secrets = true,
                flag if flag.starts_with('-') && !VALUED.contains(&flag) => {
                    return Err(format!("{flag}: there is no such flag; see --help"));
                }
                flag if flag.starts_with('-') => {
                    let value = arguments.next();
                    let value = value.ok_or(format!("{flag} needs a value; see --help"))?;
                    let named = |why| format!("{flag} {value}: {why}");
                    flags.set(flag, &value).map_err(named)?;
                }
                url => flags
                    .urls
                    .push(Url::parse(url).map_err(|why| format!("{url}: {why}"))?),
            }
        }
        match (flags.urls.is_empty(), flags.listen) {
            (true, None) => Err("a URL is needed, or --listen; see --help".to_owned()),
            (false, Some(_)) => Err("--listen goes without a URL".to_owned()),
            (true, Some(_)) => match given.iter().find(|flag| *flag != "--listen") {
                Some(other) => Err(format!("--listen goes without {other}")),
                None => Ok(Wish::Examine(flags)),
            },
            (false, None) => Ok(Wish::Examine(flags)),
        }
    }

    /// A flag that changes nothing here, and that others may have set for all examinations alike.
    pub(crate) fn unused(&self) -> Option<&'static str> {
        self.ca.as_ref()?;
        match self.urls.iter().any(|url| url.secure) {
            false => Some("--ca is for wss:// and https://, and no URL is one"),
            true => self
                .insecure
                .then_some("--insecure trusts any certificate: --ca changes nothing"),
        }
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--listen" => {
                let wrong = "expected an IP address and a port, as in 127.0.0.1:9000, or a port of 127.0.0.1";
                let port = value.strip_prefix(':').unwrap_or(value).parse::<u16>();
                self.listen = Some(match port {
                    Ok(port) => SocketAddr::from(([127, 0, 0, 1], port)),
                    Err(_) => value.parse().map_err(|_| wrong)?,
                });
            }
            "--header" => self.fields.push(field(value)?),
            "--origin" if value == "none" => self.origin = PageOrigin::Absent,
            "--origin" => self.origin = PageOrigin::Given(field_value(value)?),
            "--subprotocol" if value.trim().is_empty() => return Err("a subprotocol has a name".to_owned()),
            "--subprotocol" => {
                field_value(value)?;
                self.subprotocols.push(value.to_owned());
            }
            "--idle" => self.idle = Some(duration(value)?),
            "--timeout" => self.timeout = duration(value)?,
            "--deadline" => self.deadline = duration(value)?,
            "--ca" => self.ca = Some(value.into()),
            _ => return Err("there is no such flag; see --help".to_owned()),
        }
        Ok(())
    }
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE")?;
    let wrong = |_| format!("{name:?} is no name of a field: letters, digits and hyphens");
    let name = name.parse().map_err(wrong)?;
    Ok((name, field_value(value.trim())?))
}

fn field_value(text: &str) -> Result<HeaderValue, String> {
    let wrong = |_| format!("{text:?} has bytes that no field may have");
    text.parse().map_err(wrong)
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit = text
        .find(|byte: char| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => 0,
    };
    let number: u64 = number.parse().unwrap_or(0);
    match number.checked_mul(milliseconds) {
        Some(milliseconds @ 1..) if Duration::from_millis(milliseconds) <= LONGEST => {
            Ok(Duration::from_millis(milliseconds))
        }
        _ => Err("expected a duration above zero and up to 1000h, as in 500ms, 2s, 10m or 1h".to_owned()),
    }
}
