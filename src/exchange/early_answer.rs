//! Whether an upstream has begun to answer while the request's body is still on its way. Each byte is looked at once, however
//! the answer arrives.

const STATUS: usize = b"HTTP/1.1 ".len();
const END: &[u8] = b"\r\n\r\n";

/// How far the bytes that an upstream has sent have been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EarlyAnswer {
    /// Where the last head begins.
    head: usize,
    /// Up to where its end has been looked for.
    looked_at: usize,
}

impl EarlyAnswer {
    /// Whether a final answer other than 101 has begun in these bytes, behind any other interim ones. They are all that the
    /// upstream has sent. Bytes that are no answer count: they will not become one.
    pub(super) fn has_begun(&mut self, bytes: &[u8]) -> bool {
        loop {
            match bytes.get(self.head + STATUS..self.head + STATUS + 3) {
                None | Some(b"101") => return false,
                Some([b'1', _, _]) => {}
                Some(_) => return true,
            }
            let from = self.looked_at.max(self.head);
            let Some(end) = bytes[from..].windows(END.len()).position(|window| window == END) else {
                // The first bytes of the end may be there.
                self.looked_at = bytes.len().saturating_sub(END.len() - 1);
                return false;
            };
            self.head = from + end + END.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_whole_and_byte_by_byte() {
        let hints = "HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n";
        for (answer, expected) in [
            (String::new(), false),
            ("HTTP/1.1 40".to_owned(), false),
            ("HTTP/1.1 403 x\r\n".to_owned(), true),
            ("HTTP/1.1 101 x\r\n\r\n".to_owned(), false),
            ("rubbish, and more of it".to_owned(), true),
            (hints.repeat(3), false),
            (format!("{hints}{hints}HTTP/1.1 200 x"), true),
            (format!("{hints}HTTP/1.1 101 x\r\n\r\nHTTP/1.1 200 x"), false),
        ] {
            let bytes = answer.as_bytes();
            assert_eq!(EarlyAnswer::default().has_begun(bytes), expected, "{answer:?}");
            let mut early = EarlyAnswer::default();
            let begun = (0..=bytes.len()).any(|length| early.has_begun(&bytes[..length]));
            assert_eq!(begun, expected, "byte by byte: {answer:?}");
        }
    }
}
