//! Numbers, text and bytes as pickles spell them.

use super::super::array::Buffer;
use super::super::document::Value;
use super::machine::{Machine, Step};

impl Machine<'_> {
    pub(super) fn number(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.unsigned(1)? as i64),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            b'I' | b'L' => self.integer_line()?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => Value::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            _ => self.float_line()?,
        };
        self.push(value)
    }

    /// Protocol 0 writes True as `01` and False as `00`; a Python 2 long ends in L.
    fn integer_line(&mut self) -> Step<Value> {
        let line = self.line()?;
        match line {
            b"01" => return Ok(Value::Bool(true)),
            b"00" => return Ok(Value::Bool(false)),
            _ => {}
        }
        let digits = line.strip_suffix(b"L").unwrap_or(line);
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse().ok());
        number.map(Value::Int).ok_or_else(|| self.fault("an integer is no number or exceeds 64 bits"))
    }

    /// A two's complement number, lowest byte first.
    fn long(&mut self, width: usize) -> Step<Value> {
        let length = self.length(width)?;
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
        let (low, high) = bytes.split_at(bytes.len().min(8));
        let mut number = [fill; 8];
        number.iter_mut().zip(low).for_each(|(to, &from)| *to = from);
        let number = i64::from_le_bytes(number);
        if high.iter().any(|&byte| byte != fill) || (number < 0) != (fill == 0xff) {
            return Err(self.fault("an integer exceeds 64 bits"));
        }
        Ok(Value::Int(number))
    }

    fn float_line(&mut self) -> Step<Value> {
        let number = std::str::from_utf8(self.line()?).ok().and_then(|text| text.trim().parse().ok());
        number.map(Value::Float).ok_or_else(|| self.fault("a float is no number"))
    }

    pub(super) fn text(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'S' => self.quoted_line()?,
            b'V' => self.unicode_line()?,
            b'X' => self.utf8(4)?,
            0x8c => self.utf8(1)?,
            0x8d => self.utf8(8)?,
            b'U' | b'C' => Value::Bytes(self.counted(1)?),
            b'T' | b'B' => Value::Bytes(self.counted(4)?),
            _ => Value::Bytes(self.counted(8)?),
        };
        self.push(value)
    }

    fn counted(&mut self, width: usize) -> Step<Buffer> {
        let length = self.length(width)?;
        self.take_shared(length)
    }

    fn utf8(&mut self, width: usize) -> Step<Value> {
        let buffer = self.counted(width)?;
        match std::str::from_utf8(buffer.bytes()) {
            Ok(_) => Ok(Value::Str(buffer)),
            Err(_) => Err(self.fault("a text is not valid UTF-8")),
        }
    }

    /// Python 2's `repr` of a `str`: `'it\'s \xe9'`.
    fn quoted_line(&mut self) -> Step<Value> {
        let line = self.line()?;
        let inner = match line {
            [open @ (b'\'' | b'"'), inner @ .., close] if open == close => inner,
            _ => return Err(self.fault("a string has no quotes around it")),
        };
        self.copy_budget(inner.len())?;
        let bytes = unescape(inner).ok_or_else(|| self.fault("a string has an escape that does not exist"))?;
        Ok(Value::Bytes(Buffer::owned(bytes)))
    }

    /// Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
    fn unicode_line(&mut self) -> Step<Value> {
        let line = self.line()?;
        self.copy_budget(line.len())?;
        let text = unescape_unicode(line).ok_or_else(|| self.fault("a text has an escape that does not exist"))?;
        Ok(Value::Str(Buffer::owned(text.into_bytes())))
    }
}

fn unescape(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (&code, tail) = rest.split_first()?;
        rest = tail;
        out.push(match code {
            b'\\' | b'\'' | b'"' => code,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'x' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                rest = tail;
                u8::try_from(hex(digits)?).ok()?
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let (digits, tail) = rest.split_at_checked(more)?;
                rest = tail;
                digits.iter().fold(code - b'0', |n, d| n.wrapping_mul(8).wrapping_add(d - b'0'))
            }
            _ => return None,
        });
    }
    Some(out)
}

fn unescape_unicode(mut rest: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let width = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(*first));
                rest = tail;
                continue;
            }
        };
        let (digits, tail) = tail.get(1..)?.split_at_checked(width)?;
        out.push(char::from_u32(hex(digits)?)?);
        rest = tail;
    }
    Some(out)
}

fn hex(digits: &[u8]) -> Option<u32> {
    let valid = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| valid)?;
    u32::from_str_radix(text, 16).ok()
}
