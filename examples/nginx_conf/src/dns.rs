//! Messages of DNS (RFC 1035): a question for the addresses of a name, and what its answer says of them. Pure.
//!
//! It must not know sockets, time, or which server is asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035, section 2.3.4.
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

const CNAME: u16 = 5;
const INTERNET: u16 = 1;

const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const IS_TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;

/// A name as it stands in messages: lengths and labels, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(Box<[u8]>);

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V4,
    V6,
}

/// A question, and the number by which its answer is known.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: u16,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
}

/// What an answer says of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) addresses: Vec<IpAddr>,
    /// The last of the names that it is another name for.
    pub(crate) alias: Option<Name>,
    /// For how many seconds that holds.
    pub(crate) ttl: u32,
}

/// A message that is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It answers something else, or has come from somebody else.
    NotOurs,
    /// It cannot be read.
    Malformed,
    /// It did not fit: the question is to be asked over TCP.
    Truncated,
    /// The code with which the server refuses: it could not read the question, it has failed, there is no such name.
    Refused(u8),
}

impl Name {
    /// None for what is no name.
    pub(crate) fn read(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            if !(1..=LONGEST_LABEL).contains(&label.len()) {
                return None;
            }
            name.push(label.len() as u8);
            name.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        name.push(0);
        Some(Name(name.into())).filter(|name| name.0.len() <= LONGEST_NAME)
    }

    /// The root has no addresses.
    pub(crate) fn is_root(&self) -> bool {
        self.0.len() == 1
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut is_first) = (&self.0[..], true);
        while let Some((&length, behind)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (label, behind) = behind.split_at(usize::from(length).min(behind.len()));
            let dot = if is_first { "" } else { "." };
            write!(f, "{dot}{}", label.escape_ascii())?;
            (rest, is_first) = (behind, false);
        }
        Ok(())
    }
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::V4 => 1,
            Kind::V6 => 28,
        }
    }
}

impl Question {
    /// The message that asks.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(16 + self.name.0.len());
        message.extend(self.id.to_be_bytes());
        message.extend([RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(&*self.name.0);
        message.extend(self.kind.code().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    /// What a message says of the name.
    ///
    /// # Errors
    ///
    /// It is no answer to this question, or it refuses one.
    pub(crate) fn answer(&self, message: &[u8]) -> Result<Found, Unfit> {
        let mut reader = Reader { message, at: 0 };
        let (id, flags, code) = (reader.number(), reader.byte(), reader.byte());
        let (Ok(id), Ok(flags), Ok(code)) = (id, flags, code) else {
            return Err(Unfit::NotOurs);
        };
        let code = code & 0x0f;
        if id != self.id || flags & IS_RESPONSE == 0 || flags & OPCODE != 0 {
            return Err(Unfit::NotOurs);
        }
        let (questions, answers) = (reader.number()?, reader.number()?);
        reader.skip(4)?;
        // FORMERR and NOTIMP: the server may not have read so far.
        if matches!(code, 1 | 4) && questions == 0 {
            return Err(Unfit::Refused(code));
        }
        let is_ours = questions == 1
            && reader.name()? == self.name
            && reader.number()? == self.kind.code()
            && reader.number()? == INTERNET;
        match code {
            _ if !is_ours => Err(Unfit::NotOurs),
            _ if flags & IS_TRUNCATED != 0 => Err(Unfit::Truncated),
            0 => reader.found(answers, &self.name, self.kind),
            code => Err(Unfit::Refused(code)),
        }
    }
}

/// A message, read from its beginning.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// What the answers say of a name: its addresses, and those of the names that it is another name for.
    fn found(&mut self, answers: u16, name: &Name, kind: Kind) -> Result<Found, Unfit> {
        let mut found = Found {
            ttl: u32::MAX,
            ..Found::default()
        };
        for _ in 0..answers {
            let owner = self.name()?;
            let (code, class) = (self.number()?, self.number()?);
            let ttl = u32::from(self.number()?) << 16 | u32::from(self.number()?);
            let length = usize::from(self.number()?);
            let end = self.at.checked_add(length).ok_or(Unfit::Malformed)?;
            let data = self.message.get(self.at..end).ok_or(Unfit::Malformed)?;
            if class == INTERNET && owner == *found.alias.as_ref().unwrap_or(name) {
                if code == CNAME {
                    let alias = self.name()?;
                    if self.at != end {
                        return Err(Unfit::Malformed);
                    }
                    found.alias = Some(alias);
                } else if code == kind.code() {
                    found.addresses.push(kind.address(data)?);
                }
                // RFC 2181, section 8: a number with the first bit set is none.
                found.ttl = found.ttl.min(if ttl >> 31 == 0 { ttl } else { 0 });
            }
            self.at = end;
        }
        Ok(found)
    }

    /// A name, whose end may stand somewhere before it.
    fn name(&mut self) -> Result<Name, Unfit> {
        let mut name = Vec::new();
        let (mut at, mut behind) = (self.at, None);
        loop {
            let length = usize::from(*self.message.get(at).ok_or(Unfit::Malformed)?);
            match length {
                0 => break,
                1..=LONGEST_LABEL => {
                    let label = self
                        .message
                        .get(at + 1..at + 1 + length)
                        .ok_or(Unfit::Malformed)?;
                    name.push(length as u8);
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    at += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*self.message.get(at + 1).ok_or(Unfit::Malformed)?);
                    behind.get_or_insert(at + 2);
                    let to = (length & 0x3f) << 8 | low;
                    // RFC 1035, section 4.1.4: a prior occurrence. What points back only comes to an end.
                    if to >= at {
                        return Err(Unfit::Malformed);
                    }
                    at = to;
                }
                _ => return Err(Unfit::Malformed),
            }
            if name.len() >= LONGEST_NAME {
                return Err(Unfit::Malformed);
            }
        }
        name.push(0);
        self.at = behind.unwrap_or(at + 1);
        Ok(Name(name.into()))
    }

    fn number(&mut self) -> Result<u16, Unfit> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn byte(&mut self) -> Result<u8, Unfit> {
        let byte = *self.message.get(self.at).ok_or(Unfit::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, length: usize) -> Result<(), Unfit> {
        self.at += length;
        match self.at <= self.message.len() {
            true => Ok(()),
            false => Err(Unfit::Malformed),
        }
    }
}

impl Kind {
    fn address(self, data: &[u8]) -> Result<IpAddr, Unfit> {
        let unfit = |_| Unfit::Malformed;
        Ok(match self {
            Kind::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).map_err(unfit)?)),
            Kind::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).map_err(unfit)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u16 = 1;

    fn question() -> Question {
        Question {
            id: 0x1234,
            name: Name::read("Chat.Example.net").unwrap(),
            kind: Kind::V4,
        }
    }

    /// An answer with these records, each of them with the name as it stands in the message, the type, the TTL and the data.
    fn answer(records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = question().message();
        message[2] |= IS_RESPONSE;
        message[7] = records.len() as u8;
        for (name, code, ttl, data) in records {
            message.extend(*name);
            message.extend(code.to_be_bytes());
            message.extend(INTERNET.to_be_bytes());
            message.extend(ttl.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(*data);
        }
        message
    }

    /// The name that was asked for.
    const ASKED: &[u8] = b"\xc0\x0c";
    const HOME: &[u8] = &[127, 0, 0, 1];

    #[test]
    fn a_question_in_bytes() {
        let expected =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04chat\x07example\x03net\x00\x00\x01\x00\x01";
        assert_eq!(question().message(), expected);
        assert_eq!(question().name.to_string(), "chat.example.net");
    }

    #[test]
    fn what_is_a_name() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        for name in ["a", "a.b.", "_sip._tcp.x", &longest] {
            assert!(Name::read(name).is_some(), "{name}");
        }
        let too_long = format!("{longest}a");
        for text in ["", ".", "a..b", ".a", &format!("{label}a.net"), &too_long] {
            assert_eq!(Name::read(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_and_other_names() {
        let alias = b"\x04home\xc0\x11";
        // Behind the alias itself: the place at which its name stands.
        let at_alias = b"\xc0\x2e";
        let home = Name::read("home.example.net");
        let ip = |last| IpAddr::from([127, 0, 0, last]);
        type Case<'a> = (
            &'a [(&'a [u8], u16, u32, &'a [u8])],
            Vec<IpAddr>,
            Option<Name>,
            u32,
        );
        let cases: &[Case<'_>] = &[
            (&[], vec![], None, u32::MAX),
            (&[(ASKED, A, 60, HOME)], vec![ip(1)], None, 60),
            (
                &[(ASKED, A, 60, HOME), (ASKED, A, 30, &[127, 0, 0, 2])],
                vec![ip(1), ip(2)],
                None,
                30,
            ),
            (&[(ASKED, CNAME, 9, alias)], vec![], home.clone(), 9),
            (
                &[(ASKED, CNAME, 9, alias), (at_alias, A, 60, HOME)],
                vec![ip(1)],
                home.clone(),
                9,
            ),
            // Written in full, in another case.
            (
                &[(b"\x04CHAT\x07example\x03net\x00", A, 60, HOME)],
                vec![ip(1)],
                None,
                60,
            ),
            // Of somebody else; of another kind; of a TTL that is none.
            (&[(b"\x04evil\x00", A, 60, HOME)], vec![], None, u32::MAX),
            (
                &[(ASKED, 16, 5, b"\x01x"), (ASKED, A, 60, HOME)],
                vec![ip(1)],
                None,
                5,
            ),
            (&[(ASKED, A, u32::MAX, HOME)], vec![ip(1)], None, 0),
        ];
        for (records, addresses, alias, ttl) in cases {
            let message = answer(records);
            let expected = Found {
                addresses: addresses.clone(),
                alias: alias.clone(),
                ttl: *ttl,
            };
            assert_eq!(question().answer(&message), Ok(expected.clone()), "{records:x?}");
            // What stands behind the answers is not read.
            assert_eq!(question().answer(&[&message[..], b"\xff"].concat()), Ok(expected));
            for end in 0..message.len() {
                assert!(
                    question().answer(&message[..end]).is_err(),
                    "{records:x?}, {end} bytes"
                );
            }
        }
    }

    #[test]
    fn an_address_of_six() {
        let question = Question {
            kind: Kind::V6,
            ..question()
        };
        let mut message = answer(&[(ASKED, 28, 1, &Ipv6Addr::LOCALHOST.octets())]);
        message[31] = 28;
        let found = question.answer(&message).unwrap();
        assert_eq!(found.addresses, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }

    #[test]
    fn what_is_no_answer() {
        let good = answer(&[(ASKED, A, 60, HOME)]);
        let with = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        let cases = [
            ("another id", with(1, 0x35), Unfit::NotOurs),
            ("a question", with(2, 0x01), Unfit::NotOurs),
            ("another operation", with(2, 0x89), Unfit::NotOurs),
            ("no question in it", with(5, 0), Unfit::NotOurs),
            ("another name", with(13, b'x'), Unfit::NotOurs),
            ("another type", with(31, 28), Unfit::NotOurs),
            ("another class", with(33, 3), Unfit::NotOurs),
            ("truncated", with(2, 0x83), Unfit::Truncated),
            ("FORMERR", with(3, 1), Unfit::Refused(1)),
            (
                "FORMERR, without the question",
                question().message()[..12]
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| match at {
                        2 => 0x80,
                        3 => 1,
                        5 => 0,
                        _ => *byte,
                    })
                    .collect(),
                Unfit::Refused(1),
            ),
            ("SERVFAIL", with(3, 2), Unfit::Refused(2)),
            ("NXDOMAIN", with(3, 3), Unfit::Refused(3)),
            ("more answers than there are", with(7, 2), Unfit::Malformed),
            ("a name that points to itself", with(35, 34), Unfit::Malformed),
            ("a name that points on", with(35, 40), Unfit::Malformed),
            ("a length that is neither", with(34, 0x80), Unfit::Malformed),
            (
                "an address of no bytes",
                answer(&[(ASKED, A, 60, b"")]),
                Unfit::Malformed,
            ),
            (
                "an address of five bytes",
                answer(&[(ASKED, A, 60, b"12345")]),
                Unfit::Malformed,
            ),
            (
                "an alias of no bytes",
                answer(&[(ASKED, CNAME, 60, b"")]),
                Unfit::Malformed,
            ),
            (
                "an alias beyond its data",
                answer(&[(ASKED, CNAME, 60, b"\x04ho")]),
                Unfit::Malformed,
            ),
            (
                "an alias before its end",
                answer(&[(ASKED, CNAME, 60, b"\x00x")]),
                Unfit::Malformed,
            ),
            ("no bytes", vec![], Unfit::NotOurs),
        ];
        for (what, message, expected) in cases {
            assert_eq!(question().answer(&message), Err(expected), "{what}");
        }
    }

    #[test]
    fn no_message_is_beyond_the_reader() {
        let good = answer(&[(ASKED, CNAME, 9, b"\x04home\xc0\x11"), (b"\xc0\x2e", A, 60, HOME)]);
        for at in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut message = good.clone();
                message[at] = byte;
                let _ = question().answer(&message);
            }
        }
    }
}
