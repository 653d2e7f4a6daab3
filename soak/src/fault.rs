//! A relay between the clients and the first door that does one thing wrong, to see that the soak notices it.
//!
//! It has nothing of the library. It does its wrong only to the bytes and ends that come behind a handshake.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The position of the byte towards the client that is not what it has to be.
const POSITION: usize = 5_000;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: for the proof that the relay itself is no fault.
    Nothing,
    /// A byte is missing.
    Lost,
    /// A byte comes twice.
    Repeated,
    /// A byte is another one.
    Changed,
    /// The end of a tunnel does not arrive at its client.
    Endless,
    /// A client has gone, and its connection to the door stays.
    Kept,
    /// A descriptor stays open.
    Descriptor,
}

impl Fault {
    pub(crate) const ALL: [(&'static str, Fault); 7] = [
        ("nothing", Fault::Nothing),
        ("lost", Fault::Lost),
        ("repeated", Fault::Repeated),
        ("changed", Fault::Changed),
        ("endless", Fault::Endless),
        ("kept", Fault::Kept),
        ("descriptor", Fault::Descriptor),
    ];

    pub(crate) fn named(name: &str) -> Option<Fault> {
        let found = Fault::ALL.iter().find(|(other, _)| *other == name);
        found.map(|(_, fault)| *fault)
    }

    /// Starts the relay. Returns where clients connect instead of at the door.
    pub(crate) async fn in_front_of(self, door: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, door, self));
            }
        });
        Ok(address)
    }

    fn spoil(self, at: usize, bytes: &mut Vec<u8>) {
        let Some(place) = POSITION.checked_sub(at).filter(|place| *place < bytes.len()) else {
            return;
        };
        match self {
            Fault::Lost => drop(bytes.remove(place)),
            Fault::Repeated => bytes.insert(place, bytes[place]),
            Fault::Changed => bytes[place] ^= 1,
            _ => {}
        }
    }
}

async fn relay(mut client: TcpStream, door: SocketAddr, fault: Fault) -> io::Result<()> {
    let mut door = TcpStream::connect(door).await?;
    client.set_nodelay(true)?;
    door.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_door, mut to_door) = door.split();
    let up = async {
        kept(tokio::io::copy(&mut from_client, &mut to_door).await, fault).await?;
        to_door.shutdown().await
    };
    let down = async {
        let mut at = 0;
        loop {
            let mut bytes = Vec::with_capacity(16 * 1024);
            let length = from_door.read_buf(&mut bytes).await?;
            if length == 0 {
                break;
            }
            fault.spoil(at, &mut bytes);
            at += length;
            kept(to_client.write_all(&bytes).await, fault).await?;
        }
        if fault == Fault::Endless {
            pending::<()>().await;
        }
        to_client.shutdown().await
    };
    if tokio::try_join!(up, down).is_err() {
        // Dropped, both are reset.
        client.set_zero_linger()?;
        door.set_zero_linger()?;
    }
    if fault == Fault::Descriptor {
        std::mem::forget(std::fs::File::open("/dev/null")?);
    }
    Ok(())
}

/// What a copy has come to. With the fault, a connection that breaks is not followed by the other.
async fn kept<T>(copied: io::Result<T>, fault: Fault) -> io::Result<T> {
    match copied {
        Err(_) if fault == Fault::Kept => pending().await,
        copied => copied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_is_spoiled_wherever_the_pieces_end() {
        let all: Vec<u8> = (0..10_000_u32).map(|at| (at / 7) as u8).collect();
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut expected = all.clone();
            change(&mut expected);
            expected
        };
        for (fault, expected) in [
            (Fault::Nothing, all.clone()),
            (
                Fault::Lost,
                with(&|bytes| {
                    bytes.remove(POSITION);
                }),
            ),
            (
                Fault::Repeated,
                with(&|bytes| bytes.insert(POSITION, bytes[POSITION])),
            ),
            (Fault::Changed, with(&|bytes| bytes[POSITION] ^= 1)),
        ] {
            for length in [1, 999, 5_000, 5_001, 10_000] {
                let mut spoiled = Vec::new();
                for (number, piece) in all.chunks(length).enumerate() {
                    let mut piece = piece.to_vec();
                    fault.spoil(number * length, &mut piece);
                    spoiled.extend(piece);
                }
                assert!(spoiled == expected, "{fault:?} in pieces of {length}");
            }
        }
    }
}
