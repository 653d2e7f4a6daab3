//! The listening sockets of one address: one for each worker, among which the kernel spreads the connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::listen::Address;

/// One listening socket.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// All sockets of an address.
#[derive(Debug)]
pub(crate) struct Sockets {
    address: Address,
    bound: Vec<Listening>,
}

impl Sockets {
    /// Binds as many as there are workers. `is_shared` is a port at which others of this program listen too, at an address of
    /// their own or at all.
    pub(crate) fn bind(
        address: &Address,
        is_dual: bool,
        is_shared: bool,
        workers: usize,
    ) -> io::Result<Sockets> {
        let named = |why: io::Error| io::Error::new(why.kind(), format!("listen {address}: {why}"));
        let mut bound = Sockets {
            address: address.clone(),
            bound: Vec::new(),
        };
        match address {
            Address::Tcp(wanted) => {
                let first = tcp(*wanted, is_dual, is_shared || workers > 1).map_err(named)?;
                let actual = first.local_addr()?;
                bound.address = Address::Tcp(actual);
                bound.bound.push(Listening::Tcp(first));
                for _ in 1..workers {
                    bound
                        .bound
                        .push(Listening::Tcp(tcp(actual, is_dual, true).map_err(named)?));
                }
            }
            Address::Unix(path) => {
                let first = unix(path).map_err(named)?;
                bound.bound.push(Listening::Unix(first));
            }
        }
        Ok(bound)
    }

    /// With the port that was found, where none was asked for.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The socket of a worker. One that accepts from the same as another is as good as any.
    pub(crate) fn of(&self, worker: usize) -> io::Result<Listening> {
        match &self.bound[worker % self.bound.len()] {
            Listening::Tcp(socket) => socket.try_clone().map(Listening::Tcp),
            Listening::Unix(socket) => socket.try_clone().map(Listening::Unix),
        }
    }
}

impl Drop for Sockets {
    /// As in nginx: what is listened to no more has no file.
    fn drop(&mut self) {
        // One that could not be bound is somebody else's.
        if self.bound.is_empty() {
            return;
        }
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(address: SocketAddr, is_dual: bool, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(!is_dual)?;
    }
    socket.set_nonblocking(true)?;
    // What it accepts inherits this on Linux.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(511)?;
    Ok(socket.into())
}

/// What was left behind by one that has ended is taken over; what is in use is not.
fn unix(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|why| why.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
