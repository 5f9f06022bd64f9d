//! The stack machine: input, stack, marks, memo, containers.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::array::Buffer;
use super::super::document::{Id, Value};
use super::Fault;

pub(super) type Step<T = ()> = std::result::Result<T, Fault>;

pub(super) struct Machine<'b> {
    bytes: &'b [u8],
    shared: &'b Arc<Vec<u8>>,
    /// The next byte to read.
    at: usize,
    /// Where the current opcode lies, for errors.
    opcode_at: usize,
    values: &'b mut Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Bytes that may still be copied out of the input. A real pickle copies each byte once at most; without this, one
    /// long text in the memo could be converted again and again.
    copies_left: usize,
}

impl<'b> Machine<'b> {
    pub(super) fn new(shared: &'b Arc<Vec<u8>>, values: &'b mut Vec<Value>) -> Self {
        Machine {
            bytes: shared,
            shared,
            at: 0,
            opcode_at: 0,
            values,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copies_left: shared.len().saturating_mul(2),
        }
    }

    /// Reads up to STOP and returns the value that is left.
    pub(super) fn run(mut self) -> Step<Id> {
        loop {
            self.opcode_at = self.at;
            let opcode = self.byte()?;
            if opcode == b'.' {
                let root = self.pop()?;
                if self.stack.is_empty() && self.marks.is_empty() {
                    return Ok(root);
                }
                return Err(self.fault("the pickle ends with values left over: it is corrupt"));
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            b'N' | 0x88 | 0x89 | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' => self.number(opcode),
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.text(opcode),
            b']' | b'l' | b'a' | b'e' | 0x8f | 0x90 | 0x91 | b')' | b't' | 0x85..=0x87 => self.sequence(opcode),
            b'}' | b'd' | b's' | b'u' => self.dict(opcode),
            b'(' | b'0' | b'1' | b'2' | b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.stack_or_memo(opcode),
            b'c' | 0x93 | b'R' | b'b' | b'i' | b'o' | 0x81 | 0x92 | b'P' | b'Q' | 0x82..=0x84 => self.object(opcode),
            0x80 => self.protocol(),
            0x95 => self.frame(),
            0x97 | 0x98 => {
                Err(self.fault("the data lies outside of the pickle (out-of-band buffers); save it in one piece"))
            }
            _ => Err(self.fault(format!("{opcode:#04x} is no pickle opcode: the file is corrupt or no pickle"))),
        }
    }

    fn protocol(&mut self) -> Step {
        match self.byte()? {
            0..=5 => Ok(()),
            version => Err(self.fault(format!("pickle protocol {version} is unknown; save with protocol 5 or lower"))),
        }
    }

    /// A frame is a promise about what follows; only its honesty matters here.
    fn frame(&mut self) -> Step {
        let length = self.length(8)?;
        self.check_remaining(length)
    }

    fn sequence(&mut self, opcode: u8) -> Step {
        match opcode {
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend_list(items)
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            short => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x84..short {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items))
            }
        }
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Step {
        match self.top_mut()? {
            Value::List(list) => list.extend(items),
            other => {
                let message = format!("items are appended to {}, which is no list", other.name());
                return Err(self.fault(message));
            }
        }
        Ok(())
    }

    fn dict(&mut self, opcode: u8) -> Step {
        let items = match opcode {
            b'}' => Vec::new(),
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.fault("a dict has a key without a value: the file is corrupt"));
        }
        let pairs = pairs.iter().map(|&[key, value]| (key, value));
        if matches!(opcode, b'}' | b'd') {
            return self.push(Value::Dict(pairs.collect()));
        }
        match self.top_mut()? {
            Value::Dict(dict) => dict.extend(pairs),
            other => {
                let message = format!("entries are put into {}, which is no dict", other.name());
                return Err(self.fault(message));
            }
        }
        Ok(())
    }

    fn stack_or_memo(&mut self, opcode: u8) -> Step {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b'p' | b'q' | b'r' | 0x94 => {
                let key = if opcode == 0x94 { self.memo.len() as u64 } else { self.memo_key(opcode)? };
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            _ => {
                let key = self.memo_key(opcode)?;
                let Some(&id) = self.memo.get(&key) else {
                    return Err(self.fault(format!("the memo has no entry {key}: the file is corrupt")));
                };
                self.stack.push(id);
            }
        }
        Ok(())
    }

    fn memo_key(&mut self, opcode: u8) -> Step<u64> {
        match opcode {
            b'q' | b'h' => self.unsigned(1),
            b'r' | b'j' => self.unsigned(4),
            _ => {
                let line = self.line()?;
                let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                number.ok_or_else(|| self.fault("a memo key is no number: the file is corrupt"))
            }
        }
    }

    // Values and the stack.

    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { at: self.opcode_at, message: message.into() }
    }

    pub(super) fn push(&mut self, value: Value) -> Step {
        let id = Id::try_from(self.values.len())
            .map_err(|_| self.fault("the pickle has more values than can be counted"))?;
        self.values.push(value);
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_again(&mut self, id: Id) {
        self.stack.push(id);
    }

    /// The lowest height that the innermost mark lets the stack fall to.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Step<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    pub(super) fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.fault("a mark is missing: the file is corrupt"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    pub(super) fn top(&self) -> Step<Id> {
        let above = if self.stack.len() > self.floor() { self.stack.last() } else { None };
        above.copied().ok_or_else(|| self.fault("a value is missing from the stack: the file is corrupt"))
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    pub(super) fn top_mut(&mut self) -> Step<&mut Value> {
        let id = self.top()?;
        let fault = self.fault("a value is missing: the file is corrupt");
        self.values.get_mut(id as usize).ok_or(fault)
    }

    /// Counts `length` bytes as copied.
    pub(super) fn copy_budget(&mut self, length: usize) -> Step {
        match self.copies_left.checked_sub(length) {
            Some(left) => {
                self.copies_left = left;
                Ok(())
            }
            None => Err(self.fault("the pickle expands to far more than it holds; this is not how numpy writes data")),
        }
    }

    // Input.

    fn check_remaining(&self, length: usize) -> Step {
        let remaining = self.bytes.len() - self.at.min(self.bytes.len());
        if length > remaining {
            return Err(self.fault(format!(
                "{length} bytes are announced but only {remaining} remain: the file is cut short or corrupt"
            )));
        }
        Ok(())
    }

    pub(super) fn take(&mut self, length: usize) -> Step<&'b [u8]> {
        self.check_remaining(length)?;
        let bytes = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        Ok(bytes)
    }

    /// The next `length` bytes without a copy.
    pub(super) fn take_shared(&mut self, length: usize) -> Step<Buffer> {
        let start = self.at;
        self.take(length)?;
        Buffer::slice(self.shared, start, self.at).ok_or_else(|| self.fault("the file is cut short"))
    }

    pub(super) fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    /// A little-endian number of up to 8 bytes.
    pub(super) fn unsigned(&mut self, width: usize) -> Step<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    /// A length of that many bytes, in memory's own type.
    pub(super) fn length(&mut self, width: usize) -> Step<usize> {
        let length = self.unsigned(width)?;
        usize::try_from(length).map_err(|_| self.fault(format!("a length of {length} bytes does not fit this machine")))
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Step<&'b [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.fault("a line has no end: the file is cut short or corrupt"));
        };
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }
}
