//! Runs a configuration of nginx: what it says of proxying, of upgrades above all. `--help` lists the flags.
//!
//! ```text
//! cargo run --release --bin nginx_conf -- -t /etc/nginx/nginx.conf
//! cargo run --release --bin nginx_conf -- site.conf
//! ```
//!
//! What is not carried out is reported, with file and line, and so are the lines that do not do what they are commonly thought to
//! do. The manual of the library goes through the directives, under "from nginx".

mod access;
mod access_log;
mod answer;
mod asked;
mod asking;
mod auth_request;
mod balancing;
mod blocks;
mod certificate;
mod certificates;
mod charset;
mod client_certificates;
mod clock;
mod compressed_body;
mod condition;
mod configuration;
mod connection;
mod content;
mod cookies;
mod counted_body;
mod directives;
mod distribution;
mod dns;
mod dns_exchange;
mod entrance;
mod error_page;
mod expires;
mod explain;
mod fields;
mod files;
mod findings;
mod flags;
mod geo;
mod guards;
mod gzip;
mod handling;
mod harmless;
mod hints;
mod http2;
mod known;
mod leads;
mod left_out;
mod limiting;
mod limits;
mod linear;
mod listen;
mod location;
mod locations;
mod maps;
mod mask;
mod measures;
mod media_types;
mod metered;
mod names;
mod next_upstream;
mod opening;
mod password;
mod pattern;
mod peer;
mod phases;
mod preconditions;
mod process;
mod proxy;
mod proxy_pass;
mod real_ip;
mod redirecting;
mod redirects;
mod referer;
mod refused;
mod regex;
mod replies;
mod request;
mod resolver;
mod rewrite;
mod route;
mod scope;
mod server;
mod serving;
mod sockets;
mod sources;
mod spelling;
mod split;
mod state;
mod sticky;
mod text;
mod tls;
mod tls_variables;
mod tls_versions;
mod to_rust;
mod tree;
mod tries;
mod unverified;
mod upstreams;
mod uri;
mod user;
mod variable_names;
mod variables;
mod version;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use configuration::Configuration;
use findings::Findings;
use flags::Flags;

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(text) if [flags::USAGE, flags::VERSION].contains(&&*text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            said(&format!("nginx_conf: {why}"));
            return ExitCode::from(2);
        }
    };
    let Some(configuration) = read(&flags) else {
        said(&format!("nginx_conf: {} is not served", flags.file.display()));
        return ExitCode::FAILURE;
    };
    if flags.to_rust {
        let _ = io::stdout().lock().write_all(to_rust::program(&flags).as_bytes());
        return ExitCode::SUCCESS;
    }
    if let Some(request) = &flags.explained {
        return explain::run(request, configuration);
    }
    if flags.only_tests {
        if flags.prints_files {
            // Standard output may be closed early, by `head` for one.
            let _ = configuration.sources.write(&mut io::stdout().lock());
        }
        return ExitCode::SUCCESS;
    }
    if let Some(text) = &configuration.of_root {
        said(&format!("nginx_conf: {text}"));
    }
    match process::run(&flags, configuration) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            said(&format!("nginx_conf: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// The configuration, with what is found in it said. None if nothing may be served by it.
fn read(flags: &Flags) -> Option<Configuration> {
    let mut findings = Findings::default();
    let configuration = Configuration::read(flags, &mut findings);
    for line in findings.lines(flags.hints) {
        said(&line);
    }
    (!findings.forbid(flags.strict)).then_some(configuration)
}

/// On standard error, which nobody has to read.
fn said(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
