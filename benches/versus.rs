//! The gateway beside its peers: what the same work costs each of them.
//!
//! ```text
//! cargo bench --bench versus
//! cargo bench --bench versus -- --loads echo,handshake --proxies gateway,nginx --rounds 5
//! cargo bench --bench versus -- --syscalls --proxies gateway,nginx
//! cargo bench --bench versus -- --instructions --proxies gateway,axum,nginx
//! ```
//!
//! One core belongs to the proxy alone, the other to clients and upstream, which are this process. What counts is the
//! processor time that the proxy itself has used, divided by the work done: it holds still where throughput, with two
//! cores and other programs about, does not. Every measurement has a proxy process of its own, the proxies take turns
//! within a round, and what is printed are medians over rounds, and medians of ratios taken within a round.

#[cfg(target_os = "linux")]
#[path = "versus/baseline.rs"]
mod baseline;
#[cfg(target_os = "linux")]
#[path = "versus/bulk.rs"]
mod bulk;
#[cfg(target_os = "linux")]
#[path = "versus/client.rs"]
mod client;
#[cfg(target_os = "linux")]
#[path = "versus/echo.rs"]
mod echo;
#[cfg(target_os = "linux")]
#[path = "versus/fair.rs"]
mod fair;
#[path = "versus/frames.rs"]
mod frames;
#[cfg(target_os = "linux")]
#[path = "versus/http2.rs"]
mod http2;
#[cfg(target_os = "linux")]
#[path = "versus/http2_bulk.rs"]
mod http2_bulk;
#[cfg(target_os = "linux")]
#[path = "versus/http2_upstream.rs"]
mod http2_upstream;
#[cfg(target_os = "linux")]
#[path = "versus/idle.rs"]
mod idle;
#[cfg(target_os = "linux")]
#[path = "versus/instructions.rs"]
mod instructions;
#[cfg(target_os = "linux")]
#[path = "versus/load.rs"]
mod load;
#[cfg(target_os = "linux")]
#[path = "versus/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
#[path = "versus/options.rs"]
mod options;
#[cfg(target_os = "linux")]
#[path = "versus/peers.rs"]
mod peers;
#[cfg(target_os = "linux")]
#[path = "versus/plot.rs"]
mod plot;
#[cfg(target_os = "linux")]
#[path = "versus/process.rs"]
mod process;
#[cfg(target_os = "linux")]
#[path = "versus/report.rs"]
mod report;
#[cfg(target_os = "linux")]
#[path = "versus/requests.rs"]
mod requests;
#[cfg(target_os = "linux")]
#[path = "versus/run.rs"]
mod run;
#[cfg(target_os = "linux")]
#[path = "versus/syscalls.rs"]
mod syscalls;
#[cfg(target_os = "linux")]
#[path = "versus/tls.rs"]
mod tls;
#[cfg(target_os = "linux")]
#[path = "versus/upstream.rs"]
mod upstream;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("versus reads /proc and pins cores: Linux only");
}
