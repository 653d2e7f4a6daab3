//! The flags: which configuration, and what is to be done with it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use switchover::header::Protocol;

use super::version::Version;

/// What `--version` prints.
pub(crate) const VERSION: &str = concat!("nginx_conf ", env!("CARGO_PKG_VERSION"), "\n");

pub(crate) const USAGE: &str = "\
Runs what a configuration of nginx says of proxying, upgrades above all.

  nginx_conf [FLAGS] FILE

  -c FILE            the same as FILE alone
  -t                 say what is found in the configuration, and end
  -T                 the same, and print all of its files, as nginx does; with --explain only the explanation is printed
  -p FOLDER          where relative paths of files and logs begin (the folder of FILE). Those of include, certificates and
                     passwords begin at the folder of FILE, as in nginx
  --strict           what is not carried out is an error
  --nginx-defaults   where the configuration does not say how large a head may be, nginx's limits hold: 4k for responses,
                     4 buffers of 8k for requests. Without it: 64k for both
  --nginx-tls        the certificate of an upstream is verified only by proxy_ssl_verify on, as in nginx. Without it: unless
                     proxy_ssl_verify off says otherwise
  --nginx-version V  whose defaults hold: 1.22 (without the flag) or 1.30
  --nginx-paths      a path means what nginx reads in it, and goes up as nginx writes it. Without it a path that can be read in several
                     ways is a 400, unless all of them lead to the same location, and what the origin gets of it is as it came
  --allow-upgrade P  another protocol beside websocket that may be upgraded to, as tcp or SPDY/3.1, perhaps several. Danger: what is
                     said in it is seen by no rule of the configuration
  --no-hints         without the lines that are carried out and probably not what was meant

  --to-rust          prints a program on the library that does the same, for what has an equivalent. The other lines are named in
                     comments; a location that such a line may guard is closed. Regular expressions, files, rewrites, conditions
                     and variables in proxy_pass have none
  --explain URL      which server, location, rewrites and upstream a request for URL takes, and why; what the origin receives
  -H, --field NAME:VALUE
                     with --explain: a field of the request, perhaps several
  --method METHOD    with --explain: GET without it
  --client ADDRESS   with --explain: who asks, 127.0.0.1 without it
  -V, --version      the version
  -h, --help         this text

SIGHUP reads the configuration again: new workers take the listening sockets over, and the tunnels of those before go on.
SIGUSR1 opens the logs again. SIGQUIT ends it in order, as in nginx: nobody is let in, requests are answered, tunnels go on for as long as
worker_shutdown_timeout. SIGTERM and SIGINT end it at once. SIGUSR2, which replaces the program of nginx, changes nothing.
";

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) file: PathBuf,
    pub(crate) prefix: PathBuf,
    pub(crate) only_tests: bool,
    /// `-T`: the files are printed.
    pub(crate) prints_files: bool,
    pub(crate) strict: bool,
    pub(crate) nginx_defaults: bool,
    pub(crate) nginx_paths: bool,
    pub(crate) nginx_tls: bool,
    pub(crate) version: Version,
    pub(crate) hints: bool,
    /// `--allow-upgrade`.
    pub(crate) protocols: Vec<Protocol>,
    /// `--to-rust`.
    pub(crate) to_rust: bool,
    /// `--explain`.
    pub(crate) explained: Option<Explained>,
}

/// The request that `--explain` is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Explained {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) client: Option<IpAddr>,
}

impl Flags {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Flags, String> {
        let mut flags = Flags {
            file: PathBuf::new(),
            prefix: PathBuf::new(),
            only_tests: false,
            prints_files: false,
            strict: false,
            nginx_defaults: false,
            nginx_paths: false,
            nginx_tls: false,
            version: Version::default(),
            hints: true,
            protocols: Vec::new(),
            to_rust: false,
            explained: None,
        };
        let mut arguments = arguments.into_iter();
        let mut prefix = None;
        let mut files = Vec::new();
        let request = || Explained {
            method: "GET".to_owned(),
            ..Explained::default()
        };
        let mut explained = request();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or(format!("{argument} needs a value; see --help"))
            };
            match &*argument {
                "-t" => flags.only_tests = true,
                "-T" => {
                    flags.only_tests = true;
                    flags.prints_files = true;
                }
                "--strict" => flags.strict = true,
                "--nginx-defaults" => flags.nginx_defaults = true,
                "--nginx-tls" => flags.nginx_tls = true,
                "--nginx-paths" => flags.nginx_paths = true,
                "--explain" => explained.url = value()?,
                "--method" => explained.method = value()?,
                "--client" => {
                    let address = value()?;
                    let wrong = |_| {
                        format!("{argument} {address}: an address is expected, as 192.0.2.7 or 2001:db8::7")
                    };
                    explained.client = Some(address.parse().map_err(wrong)?);
                }
                "-H" | "--field" => {
                    let field = value()?;
                    let wrong = format!("{argument} {field}: a field is written as NAME: VALUE");
                    let (name, value) = field.split_once(':').ok_or(wrong)?;
                    explained
                        .fields
                        .push((name.trim().to_owned(), value.trim().to_owned()));
                }
                "--nginx-version" => flags.version = Version::read(&value()?)?,
                "--allow-upgrade" => {
                    let name = value()?;
                    let wrong = |why| {
                        format!("{argument} {name}: {why}; a protocol is written as NAME or NAME/VERSION")
                    };
                    flags.protocols.push(name.parse().map_err(wrong)?);
                }
                "--to-rust" => flags.to_rust = true,
                "--no-hints" => flags.hints = false,
                "-h" | "--help" => return Err(USAGE.to_owned()),
                "-V" | "--version" => return Err(VERSION.to_owned()),
                "-p" => prefix = Some(PathBuf::from(value()?)),
                "-c" => files.push(PathBuf::from(value()?)),
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag}: there is no such flag; see --help"));
                }
                file => files.push(PathBuf::from(file)),
            }
        }
        match (explained.url.is_empty(), explained == request()) {
            (false, _) => flags.explained = Some(explained),
            (true, true) => {}
            (true, false) => return Err("--method, --field and --client need --explain URL".to_owned()),
        }
        flags.file = match <[PathBuf; 1]>::try_from(files) {
            Ok([file]) => file,
            Err(files) if files.is_empty() => {
                return Err("a FILE is needed, as /etc/nginx/nginx.conf; see --help".to_owned());
            }
            Err(_) => return Err("one FILE is read; its own include lines name others".to_owned()),
        };
        flags.prefix = prefix.unwrap_or_else(|| flags.folder().to_owned());
        Ok(flags)
    }

    /// The folder of the configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}
