//! Asking the servers of a `resolver` for a name: over UDP, one after the other, and over TCP where an answer does not fit.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::dns::{Found, Kind, Name, Question, Unfit};
use super::resolver::Unresolved;

/// More than servers send over UDP to who has not asked for more.
const LONGEST_MESSAGE: usize = 4096;

/// nginx: a server that has not answered within this time is not waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What has been answered, in the order in which it came; else the code of a refusal.
type Answers = Vec<Result<Found, u8>>;

/// What the servers say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// One at least.
    Addresses(Vec<IpAddr>),
    /// It is another name for this one.
    Alias(Name),
}

/// Asks until there is an answer: for how long, the caller says. `first` is the number of the server that is asked first.
///
/// # Errors
///
/// A server has answered that there is no address, or has refused an answer.
pub(crate) async fn exchange(
    servers: &[SocketAddr],
    first: usize,
    name: &Name,
    kinds: &[Kind],
) -> Result<(Reply, Duration), Unresolved> {
    let mut open: Vec<Question> = kinds.iter().map(|kind| Question::new(name, *kind)).collect();
    let mut answers: Answers = Vec::new();
    loop {
        let round_ends = Instant::now() + ANSWERS_WITHIN;
        for turn in 0..servers.len() {
            let server = servers[first.wrapping_add(turn) % servers.len()];
            let until = Instant::now() + ANSWERS_WITHIN;
            // One that cannot be asked, or cannot read the question, is as one that does not answer: the next one is asked.
            if let Ok(Ok(())) = timeout_at(until, ask(server, &mut open, &mut answers)).await {
                return judged(answers);
            }
        }
        sleep_until(round_ends).await;
    }
}

/// What both answers come to, in the order in which they came. A refusal of one is one of both, as in nginx.
fn judged(answers: Answers) -> Result<(Reply, Duration), Unresolved> {
    let found: Result<Vec<Found>, u8> = answers.into_iter().collect();
    let found = found.map_err(refusal)?;
    let with_addresses = || found.iter().filter(|found| !found.addresses.is_empty());
    let addresses: Vec<IpAddr> = with_addresses()
        .flat_map(|found| found.addresses.clone())
        .collect();
    if !addresses.is_empty() {
        let ttl = with_addresses().map(|found| found.ttl).min().unwrap_or(0);
        return Ok((Reply::Addresses(addresses), Duration::from_secs(ttl.into())));
    }
    // Without an address, the last answer counts, as in nginx.
    let last = found.last().ok_or(Unresolved::NotFound)?;
    let alias = last.alias.clone().ok_or(Unresolved::NotFound)?;
    Ok((Reply::Alias(alias), Duration::from_secs(last.ttl.into())))
}

fn refusal(code: u8) -> Unresolved {
    match code {
        3 => Unresolved::NotFound,
        code => Unresolved::Refused(code),
    }
}

/// Asks one server. What is answered is no longer open.
///
/// # Errors
///
/// It cannot be asked, or it could not read a question.
async fn ask(server: SocketAddr, open: &mut Vec<Question>, answers: &mut Answers) -> io::Result<()> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own, which nobody knows before.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    for question in &*open {
        socket.send(&question.message()).await?;
    }
    let mut buffer = vec![0; LONGEST_MESSAGE];
    while !open.is_empty() {
        let length = socket.recv(&mut buffer).await?;
        let mut about = open
            .iter()
            .enumerate()
            .map(|(at, question)| (at, question.answer(&buffer[..length])));
        // What cannot be read is as if it had not come: the right answer may be behind it.
        let answer = about.find(|(_, answer)| !matches!(answer, Err(Unfit::NotOurs | Unfit::Malformed)));
        let Some((at, answer)) = answer else { continue };
        let answer = match answer {
            Err(Unfit::Truncated) => over_tcp(server, &open[at]).await?,
            answer => answer,
        };
        answers.push(usable(answer)?);
        open.remove(at);
    }
    Ok(())
}

/// RFC 7766: the question again, over TCP.
async fn over_tcp(server: SocketAddr, question: &Question) -> io::Result<Result<Found, Unfit>> {
    let mut stream = TcpStream::connect(server).await?;
    let message = question.message();
    let length = message.len() as u16;
    stream
        .write_all(&[&length.to_be_bytes()[..], &message].concat())
        .await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(question.answer(&answer))
}

/// The addresses, or the code of a refusal. A server that could not read the question (FORMERR, NOTIMP) has not answered it.
fn usable(answer: Result<Found, Unfit>) -> io::Result<Result<Found, u8>> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(Unfit::Refused(code)) if !matches!(code, 1 | 4) => Ok(Err(code)),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Question {
    fn new(name: &Name, kind: Kind) -> Question {
        // The keys of every state are others, and nobody knows them: an answer cannot be made up without the number.
        let id = RandomState::new().build_hasher().finish() as u16;
        Question {
            id,
            name: name.clone(),
            kind,
        }
    }
}
