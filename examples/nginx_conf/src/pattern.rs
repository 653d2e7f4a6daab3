//! A regular expression of PCRE in the words of the two crates that match it.
//!
//! nginx matches bytes, unless an expression begins with `(*UTF8)`: a class holds signs of ASCII, letters beyond it have no case, and a dot
//! is one byte. What reads texts as signs is given one private sign for each byte beyond ASCII.

/// Who reads the expression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Reads bytes, in linear time: no look-around, no references back.
    Linear,
    /// Reads signs, one for each byte.
    Bytes,
    /// Reads signs, as they are: `(*UTF8)`.
    Signs,
}

/// What a dollar sign and `\Z` are for a text that ends with a line feed: PCRE finds an end before it too.
pub(super) const END_OF_LINES: &str = "(?=\\n?\\z)";

/// The sign that stands for a byte.
pub(super) fn sign_of(byte: u8) -> char {
    const PRIVATE: u32 = 0xe000;
    match byte {
        0..=0x7f => char::from(byte),
        _ => char::from_u32(PRIVATE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// Without `(*UTF8)`, and whether it was there.
pub(super) fn of_signs(source: &str) -> (bool, &str) {
    let rest = ["(*UTF8)", "(*UTF)"]
        .iter()
        .find_map(|verb| source.strip_prefix(verb));
    (rest.is_some(), rest.unwrap_or(source))
}

/// The expression for its reader, with `end` in place of a dollar sign.
///
/// # Errors
///
/// It has what the crates read otherwise than PCRE.
pub(super) fn translated(source: &str, form: Form, end: Option<&str>) -> Result<String, String> {
    let mut writer = Writer {
        form,
        end,
        out: String::with_capacity(source.len() + 16),
        class: None,
    };
    let mut rest = source;
    while let Some(sign) = rest.chars().next() {
        let taken = writer.next(rest, sign)?;
        rest = &rest[taken..];
    }
    Ok(writer.out)
}

struct Writer<'a> {
    form: Form,
    end: Option<&'a str>,
    out: String,
    /// Within brackets, what stands before.
    class: Option<Before>,
}

/// What stands before a place within brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Sign,
    Hyphen,
    /// Several signs: no range begins with them.
    Class,
}

impl Writer<'_> {
    /// Writes what begins here, and says how long it was.
    fn next(&mut self, rest: &str, sign: char) -> Result<usize, String> {
        let length = sign.len_utf8();
        let behind = &rest[length..];
        if sign == '\\' {
            return Ok(length + self.escape(behind));
        }
        let taken = match self.class {
            Some(before) => length + self.in_class(before, sign, behind),
            None => length + self.outside(sign, behind)?,
        };
        Ok(taken)
    }

    fn outside(&mut self, sign: char, behind: &str) -> Result<usize, String> {
        match sign {
            '$' => self.out.push_str(self.end.unwrap_or("$")),
            '[' => {
                self.class = Some(Before::Nothing);
                self.out.push('[');
                if behind.starts_with('^') {
                    self.out.push('^');
                    return Ok(1);
                }
            }
            '{' => {
                let Some(length) = quantifier(behind) else {
                    self.out.push_str("\\{");
                    return Ok(0);
                };
                self.out.push('{');
                self.out.push_str(&behind[..length]);
                return Ok(length);
            }
            '}' => self.out.push_str("\\}"),
            '(' if behind.starts_with("?'") => {
                let (name, _) = behind[2..].split_once('\'').ok_or("a name has no end")?;
                self.out.push_str(&format!("(?<{name}>"));
                return Ok(name.len() + 3);
            }
            '(' if has_foreign_flag(behind) => {
                return Err("(?R) and flags beyond those of PCRE are not carried out".to_owned());
            }
            other => self.literal(other),
        }
        Ok(0)
    }

    fn in_class(&mut self, before: Before, sign: char, behind: &str) -> usize {
        let mut now = Before::Sign;
        let mut taken = 0;
        match sign {
            '[' if behind.starts_with(':') && behind.contains(":]") => {
                let end = behind.find(":]").unwrap_or(0) + 2;
                self.out.push('[');
                self.out.push_str(&behind[..end]);
                taken = end;
                now = Before::Class;
            }
            ']' if before == Before::Nothing => self.out.push_str("\\]"),
            ']' => {
                self.out.push(']');
                self.class = None;
                return 0;
            }
            // Behind several signs, or behind another one, it stands for itself.
            '-' if matches!(before, Before::Class | Before::Hyphen) => self.out.push_str("\\-"),
            '-' => {
                self.out.push('-');
                now = Before::Hyphen;
            }
            '[' | '&' | '~' => self.out.extend(['\\', sign]),
            other => self.literal(other),
        }
        self.class = Some(now);
        taken
    }

    /// What follows a backslash.
    fn escape(&mut self, behind: &str) -> usize {
        let Some(sign) = behind.chars().next() else {
            self.out.push_str("\\\\");
            return 0;
        };
        let in_class = self.class.is_some();
        if self.class.is_some() {
            self.class = Some(Before::Sign);
        }
        let length = sign.len_utf8();
        let digits = &behind[length..];
        match sign {
            'Q' => {
                // All that stands for itself.
                let (quoted, taken) = match digits.find("\\E") {
                    Some(end) => (&digits[..end], end + 2),
                    None => (digits, digits.len()),
                };
                for sign in quoted.chars() {
                    match sign.is_ascii_punctuation() && !matches!(sign, '<' | '>' | '_') {
                        true => self.out.extend(['\\', sign]),
                        false => self.literal(sign),
                    }
                }
                return length + taken;
            }
            'E' => {}
            'x' => {
                let (code, taken) = hexadecimal(digits);
                self.code(code);
                return length + taken;
            }
            '0' => {
                let (code, taken) = octal(digits, 2);
                self.code(code);
                return length + taken;
            }
            '1'..='7' if in_class => {
                let (code, taken) = octal(behind, 3);
                self.code(code);
                return taken;
            }
            'c' if digits.starts_with(|sign: char| sign.is_ascii()) => {
                let control = digits.as_bytes()[0].to_ascii_uppercase() ^ 0x40;
                self.code(u32::from(control));
                return length + 1;
            }
            'a' => self.code(7),
            'e' => self.code(0x1b),
            // What is in braces belongs to it: \p{L}, \k{name}.
            'p' | 'P' | 'k' | 'g' | 'o' => {
                self.out.extend(['\\', sign]);
                if let Some(end) = digits.find('}').filter(|_| digits.starts_with('{')) {
                    self.out.push_str(&digits[..=end]);
                    return length + end + 1;
                }
            }
            _ => self.short(sign, in_class),
        }
        length
    }

    fn short(&mut self, sign: char, in_class: bool) {
        const WORD: &str = "[A-Za-z0-9_]";
        let inside = match sign.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "A-Za-z0-9_",
            's' => "\\t\\n\\r\\x0b\\x0c ",
            'h' => "\\t ",
            'v' => "\\n\\r\\x0b\\x0c",
            'n' if sign == 'N' && !in_class => "\\n",
            _ => "",
        };
        if !inside.is_empty() {
            match (in_class, sign.is_ascii_uppercase()) {
                (true, false) => self.out.push_str(inside),
                (_, true) => self.out.push_str(&format!("[^{inside}]")),
                (false, false) => self.out.push_str(&format!("[{inside}]")),
            }
            if in_class {
                self.class = Some(Before::Class);
            }
            return;
        }
        match sign {
            'b' if in_class => self.code(8),
            // Words are of ASCII, and so are the signs that stand for bytes none of a word.
            'b' if self.form == Form::Signs => self
                .out
                .push_str(&format!("(?:(?<!{WORD})(?={WORD})|(?<={WORD})(?!{WORD}))")),
            'B' if self.form == Form::Signs => self
                .out
                .push_str(&format!("(?:(?<!{WORD})(?!{WORD})|(?<={WORD})(?={WORD}))")),
            'Z' => self.out.push_str(self.end.unwrap_or("\\z")),
            // They stand for themselves, and the crates have other uses for them.
            '<' | '>' | '_' => self.out.push(sign),
            sign if !sign.is_ascii() => self.literal(sign),
            sign => self.out.extend(['\\', sign]),
        }
    }

    /// A sign that stands for itself.
    fn literal(&mut self, sign: char) {
        if sign.is_ascii() || self.form == Form::Signs {
            return self.out.push(sign);
        }
        for byte in sign.encode_utf8(&mut [0; 4]).bytes() {
            self.code(u32::from(byte));
        }
    }

    /// A sign by its number.
    fn code(&mut self, code: u32) {
        match (self.form, u8::try_from(code)) {
            (Form::Bytes, Ok(byte @ 0x80..)) => self.out.push(sign_of(byte)),
            (Form::Bytes | Form::Linear, Ok(byte)) => self.out.push_str(&format!("\\x{byte:02X}")),
            _ => self.out.push_str(&format!("\\x{{{code:X}}}")),
        }
    }
}

/// `{41}`, or up to two digits; and how long that is.
fn hexadecimal(digits: &str) -> (u32, usize) {
    let braced = digits.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let (number, length) = match braced {
        Some((inside, _)) => (inside, inside.len() + 2),
        None => {
            let count = digits.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
            (&digits[..count], count)
        }
    };
    (u32::from_str_radix(number, 16).unwrap_or(0), length)
}

fn octal(digits: &str, most: usize) -> (u32, usize) {
    let is_octal = |byte: &u8| matches!(byte, b'0'..=b'7');
    let count = digits.bytes().take(most).take_while(is_octal).count();
    (u32::from_str_radix(&digits[..count], 8).unwrap_or(0), count)
}

/// How long `3}`, `3,}` or `3,5}` is.
fn quantifier(behind: &str) -> Option<usize> {
    let (inside, _) = behind.split_once('}')?;
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = !least.is_empty() && digits(least) && digits(most);
    is_one.then_some(inside.len() + 1)
}

/// Flags that the crates have and PCRE has not: `(?R)` is recursion there.
fn has_foreign_flag(behind: &str) -> bool {
    let Some(flags) = behind.strip_prefix('?') else {
        return false;
    };
    let end = flags
        .find(|sign: char| !sign.is_ascii_alphabetic() && sign != '-')
        .unwrap_or(flags.len());
    flags[end..].starts_with([')', ':']) && flags[..end].contains(['R', 'u'])
}
