//! What clients do with a tunnel. Each story checks every byte that arrives, and says how the tunnel has ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::count::{Counts, Ending, Lane};
use crate::origin::{Origin, frames};
use crate::pattern::{self, Random};
use crate::run::Run;
use crate::stream::{Stop, Stream, early_end, handshake};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// A small message now and then, for a minute or so.
    Hold,
    /// Many messages, small and large, one after the other.
    Talk,
    /// Reads nothing for a while.
    Stall,
    /// Bytes, then a half-close, and then as many bytes of the origin's.
    Swap,
    ResetByClient,
    ResetByOrigin,
}

/// One tunnel of a client.
pub(crate) struct Client<'a> {
    pub(crate) run: &'a Arc<Run>,
    pub(crate) lane: Lane,
    pub(crate) story: Story,
    pub(crate) id: u64,
    pub(crate) random: &'a mut Random,
    /// How many bytes have been sent, or are to come, and have not arrived.
    pub(crate) missing: u64,
}

impl Client<'_> {
    fn counts(&self) -> &Counts {
        self.run.books.lane(self.lane)
    }

    /// From the connection to the end of the tunnel. The origin that answered is returned beside it.
    pub(crate) async fn tell(&mut self, origin: &mut Option<Arc<Origin>>) -> Result<Ending, Stop> {
        let address = self.run.doors[self.lane as usize].address;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = match self.lane {
            Lane::GatewayTls | Lane::ServiceTls => {
                let name = ServerName::try_from("localhost").expect("a name");
                let connector = TlsConnector::from(self.run.client_tls.clone());
                Stream::Tls(Box::new(connector.connect(name, stream).await?))
            }
            _ => Stream::Plain(stream),
        };
        let number = match self.story {
            Story::Stall => self.random.between(100_000, 1_500_000),
            _ => self.random.between(1, 200_000),
        };
        let kind = match self.story {
            _ if self.lane.has_frames() => "frames",
            Story::Hold | Story::Talk | Story::ResetByClient => "echo",
            Story::Stall => "push",
            Story::Swap => "swap",
            Story::ResetByOrigin => "reset",
        };
        let path = format!("/{kind}/{}/{}/{number}", self.lane as usize, self.id);
        let (name, rest) = handshake(&mut stream, &path, self.id).await?;
        *origin = self.run.origins.get(name).cloned();
        self.counts().opened.add(1);
        match kind {
            "frames" => self.frames(stream, rest).await,
            "echo" => self.echo(stream, rest).await,
            "push" => self.pushed(stream, rest, number).await,
            "swap" => self.swap(stream, rest, number).await,
            _ => self.reset(stream, number).await,
        }
    }

    async fn frames(&mut self, stream: Stream, rest: Vec<u8>) -> Result<Ending, Stop> {
        let mut socket =
            WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(frames())).await;
        let ended = self.messages(&mut socket).await;
        if let Err(Stop::Close(_)) | Ok(Ending::Closed) = ended {
            // The answer goes out, and the end of the stream comes.
            while let Some(Ok(_)) = socket.next().await {}
        }
        ended
    }

    async fn messages(&mut self, socket: &mut WebSocketStream<Stream>) -> Result<Ending, Stop> {
        let (messages, largest, ahead) = match self.story {
            Story::Hold => (u64::MAX, 2_000, 1),
            Story::Stall => (40, 20_000, 40),
            _ => (self.random.between(5, 30), 70_000, 1),
        };
        let end = tokio::time::Instant::now() + Duration::from_secs(self.random.between(30, 120));
        let (mut sent, mut returned, mut waiting) = (0_u64, 0_u64, std::collections::VecDeque::new());
        let mut count = 0;
        while count < messages {
            if self.story == Story::Hold && !self.pause(socket, end).await? {
                break;
            }
            let length = self.random.between(1, largest) as usize;
            let message = pattern::bytes(self.id, sent, length);
            self.counts().sent_by_clients.add(length as u64);
            self.missing += length as u64;
            socket.send(Message::binary(message)).await.map_err(broken)?;
            sent += length as u64;
            waiting.push_back(length);
            count += 1;
            if self.story == Story::ResetByClient && count == messages / 2 {
                socket.get_ref().tcp().set_zero_linger()?;
                return Ok(Ending::ResetByClient);
            }
            if self.story == Story::Stall && count == messages {
                tokio::time::sleep(Duration::from_millis(self.random.between(500, 3000))).await;
            }
            while waiting.len() >= ahead || (count == messages && !waiting.is_empty()) {
                let length = waiting.pop_front().expect("a message that is under way");
                let echo = message_of(socket).await?;
                if echo.len() != length || !pattern::matches(self.id, returned, &echo) {
                    return Err(Stop::Fault(format!(
                        "{} bytes came back for {length}, or others",
                        echo.len()
                    )));
                }
                returned += length as u64;
                self.counts().received_by_clients.add(length as u64);
                self.missing -= length as u64;
            }
        }
        if self.story == Story::Hold && self.run.is_over() && self.id % 2 == 0 {
            // Waits for the drain.
            return match message_of(socket).await {
                Ok(_) => Err(Stop::Fault("a message that nobody sent".to_owned())),
                Err(stop) => Err(stop),
            };
        }
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        socket.close(Some(close)).await.map_err(broken)?;
        match message_of(socket).await {
            Err(Stop::Close(Some(1000))) => {}
            Err(stop) => return Err(stop),
            Ok(_) => return Err(Stop::Fault("a message behind the Close".to_owned())),
        }
        Ok(Ending::Closed)
    }

    /// Waits until the next message is due, answering pings. No: the tunnel is to end.
    async fn pause(
        &mut self,
        socket: &mut WebSocketStream<Stream>,
        end: tokio::time::Instant,
    ) -> Result<bool, Stop> {
        let next = tokio::time::Instant::now() + Duration::from_millis(self.random.between(8_000, 30_000));
        let run = self.run.clone();
        tokio::select! {
            () = tokio::time::sleep_until(next.min(end)) => Ok(next < end),
            () = run.over() => Ok(false),
            message = message_of(socket) => match message {
                Ok(_) => Err(Stop::Fault("a message that nobody sent".to_owned())),
                Err(stop) => Err(stop),
            },
        }
    }

    async fn echo(&mut self, mut stream: Stream, mut rest: Vec<u8>) -> Result<Ending, Stop> {
        let (messages, largest) = match self.story {
            Story::Hold => (u64::MAX, 2_000),
            _ => (self.random.between(5, 30), 120_000),
        };
        let end = tokio::time::Instant::now() + Duration::from_secs(self.random.between(30, 120));
        let (mut sent, mut count) = (0, 0);
        while count < messages {
            if self.story == Story::Hold {
                let pause = Duration::from_millis(self.random.between(8_000, 30_000));
                let mut byte = [0];
                let run = self.run.clone();
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = run.over() => break,
                    read = stream.read(&mut byte) => return Err(match read {
                        Ok(0) => early_end(),
                        Ok(_) => Stop::Fault("a byte that nobody sent".to_owned()),
                        Err(error) => error.into(),
                    }),
                }
                if tokio::time::Instant::now() >= end {
                    break;
                }
            }
            let length = self.random.between(1, largest) as usize;
            let bytes = pattern::bytes(self.id, sent, length);
            self.counts().sent_by_clients.add(length as u64);
            self.missing += length as u64;
            let mut echo = std::mem::take(&mut rest);
            let (mut from, mut to) = tokio::io::split(&mut stream);
            let receive = async {
                while echo.len() < length {
                    if from.read_buf(&mut echo).await? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                    }
                }
                Ok(())
            };
            tokio::try_join!(to.write_all(&bytes), receive)?;
            if echo.len() != length || !pattern::matches(self.id, sent, &echo) {
                return Err(Stop::Fault(format!(
                    "{} bytes came back for {length}, or others",
                    echo.len()
                )));
            }
            self.counts().received_by_clients.add(length as u64);
            self.missing -= length as u64;
            sent += length as u64;
            count += 1;
            if self.story == Story::ResetByClient && count == messages / 2 {
                stream.tcp().set_zero_linger()?;
                return Ok(Ending::ResetByClient);
            }
        }
        stream.shutdown().await?;
        match stream.read(&mut [0]).await? {
            0 => Ok(Ending::HalfClosed),
            _ => Err(Stop::Fault("a byte behind the last echo".to_owned())),
        }
    }

    async fn pushed(&mut self, mut stream: Stream, rest: Vec<u8>, total: u64) -> Result<Ending, Stop> {
        self.missing = total;
        tokio::time::sleep(Duration::from_millis(self.random.between(500, 3000))).await;
        self.all(&mut stream, rest, self.id, total).await?;
        stream.shutdown().await?;
        Ok(Ending::HalfClosed)
    }

    async fn swap(&mut self, mut stream: Stream, rest: Vec<u8>, total: u64) -> Result<Ending, Stop> {
        let bytes = pattern::bytes(self.id, 0, total as usize);
        self.counts().sent_by_clients.add(total);
        self.missing = total;
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        self.all(&mut stream, rest, self.id + 1, total).await?;
        Ok(Ending::HalfClosed)
    }

    /// Reads a stream to its end, which comes after exactly so many bytes.
    async fn all(&mut self, stream: &mut Stream, rest: Vec<u8>, id: u64, total: u64) -> Result<(), Stop> {
        let (mut at, mut buffer) = (0, rest);
        loop {
            if !pattern::matches(id, at, &buffer) {
                return Err(Stop::Fault(format!("wrong bytes after {at}")));
            }
            at += buffer.len() as u64;
            self.missing = total.saturating_sub(at);
            self.counts().received_by_clients.add(buffer.len() as u64);
            buffer.clear();
            buffer.reserve(16 * 1024);
            if stream.read_buf(&mut buffer).await? == 0 {
                break;
            }
        }
        if at == total {
            return Ok(());
        }
        if at > total {
            return Err(Stop::Fault(format!("{at} bytes of {total}")));
        }
        Err(early_end())
    }

    /// Sends until the origin resets the connection, which has to be seen as what it is.
    async fn reset(&mut self, mut stream: Stream, total: u64) -> Result<Ending, Stop> {
        let bytes = pattern::bytes(self.id, 0, total as usize);
        self.counts().sent_by_clients.add(total);
        let is_plain = matches!(stream, Stream::Plain(_));
        let ended = match stream.write_all(&bytes).await {
            Ok(()) => stream.read(&mut [0]).await,
            Err(error) => Err(error),
        };
        match ended {
            Err(_) => Ok(Ending::ResetByOrigin),
            Ok(0) if is_plain && self.lane == Lane::Gateway => {
                Err(Stop::Fault("a reset arrived as an orderly end".to_owned()))
            }
            Ok(0) => Ok(Ending::ResetByOrigin),
            Ok(_) => Ok(Ending::ResetByOrigin),
        }
    }
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> Stop {
    match error {
        tokio_tungstenite::tungstenite::Error::Io(error) => Stop::Broken(error),
        tokio_tungstenite::tungstenite::Error::ConnectionClosed
        | tokio_tungstenite::tungstenite::Error::AlreadyClosed
        | tokio_tungstenite::tungstenite::Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
            | tokio_tungstenite::tungstenite::error::ProtocolError::SendAfterClosing,
        ) => early_end(),
        error => Stop::Fault(error.to_string()),
    }
}

/// The next message. Pings are answered on the way.
async fn message_of(socket: &mut WebSocketStream<Stream>) -> Result<Vec<u8>, Stop> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
            Some(Ok(Message::Close(frame))) => {
                return Err(Stop::Close(frame.map(|frame| frame.code.into())));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(early_end()),
        }
    }
}
