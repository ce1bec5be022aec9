//! A pickle read as data: a stack machine over [`Value`]s that knows the opcodes of plain state dicts.
//!
//! The opcodes are described in Python's `pickletools`. Those that would import, call or build anything
//! but tensors and dictionaries are refused.

use super::opcode as op;
use super::subject::Subject;
use super::values::{Global, Heap, Value};
use crate::{Error, Result};
use std::collections::HashMap;

/// Most opcodes read, enough for some 60,000 tensors. Since an opcode makes at most one value, this
/// bounds time, stack, memo and heap.
const MAX_OPCODE_COUNT: usize = 1 << 21;

/// What a pickle is.
#[derive(Debug)]
pub(super) struct Loaded<'a> {
    /// Its value.
    pub(super) value: Value<'a>,
    /// What the value points into.
    pub(super) heap: Heap<'a>,
    /// Its length; the bytes may go on.
    pub(super) byte_count: usize,
}

/// Reads the pickle at the start of `bytes`.
///
/// # Errors
/// [`Error::PytorchGlobal`] when it asks for code, [`Error::Pytorch`] and [`Error::PytorchUnsupported`]
/// when it is cut, contradicts itself, or is not a pickle of a state dict.
pub(super) fn load<'a>(bytes: &'a [u8], subject: Subject<'a>) -> Result<Loaded<'a>> {
    let mut machine = Machine {
        subject,
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        heap: Heap::new(subject),
    };
    for _ in 0..MAX_OPCODE_COUNT {
        let [code] = machine.array()?;
        if code == op::STOP {
            return Ok(Loaded { value: machine.pop()?, heap: machine.heap, byte_count: machine.at });
        }
        let pushed = machine.step(code)?;
        machine.stack.extend(pushed);
    }
    Err(subject.unsupported(format!("its pickle has more than {MAX_OPCODE_COUNT} opcodes")))
}

struct Machine<'a> {
    subject: Subject<'a>,
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at which marks are.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: Heap<'a>,
}

impl<'a> Machine<'a> {
    /// Does what an opcode asks for; what it pushes.
    fn step(&mut self, code: u8) -> Result<Option<Value<'a>>> {
        match code {
            op::PROTO => self.protocol()?,
            op::FRAME => drop(self.array::<8>()?),
            op::MARK => self.marks.push(self.stack.len()),
            op::POP => drop(self.pop()?),
            op::POP_MARK => drop(self.above_mark()?),
            op::DUP => return self.top().map(Some),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(code)?,
            op::BINGET | op::LONG_BINGET => return self.get(code).map(Some),
            op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => return self.tuple(code).map(Some),
            op::FROZENSET => return self.above_mark().map(|_| Some(Value::Opaque)),
            op::LIST => {
                let items = self.above_mark()?;
                return Ok(Some(self.heap.add_list(items)));
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.above_mark()?;
                self.append(&items)?;
            }
            op::DICT => {
                let (dict, entries) = (self.heap.add_dict(), self.above_mark()?);
                self.insert(dict, &entries)?;
                return Ok(Some(dict));
            }
            op::SETITEM => {
                let entry = [self.pop()?, self.pop()?];
                self.insert(self.top()?, &[entry[1], entry[0]])?;
            }
            op::SETITEMS => {
                let entries = self.above_mark()?;
                self.insert(self.top()?, &entries)?;
            }
            op::GLOBAL | op::STACK_GLOBAL => return self.global(code).map(Some),
            op::REDUCE => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                return self.heap.call(callable, arguments).map(Some);
            }
            op::BINPERSID => {
                let id = self.pop()?;
                return self.heap.storage(id).map(Some);
            }
            op::BUILD => self.build()?,
            _ => return self.literal(code).map(Some),
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<()> {
        match self.array()? {
            [2..=5] => Ok(()),
            [version] => Err(self.subject.unsupported(format!("its pickle has protocol {version}, known are 2 to 5"))),
        }
    }

    /// Opcodes that push a constant.
    fn literal(&mut self, code: u8) -> Result<Value<'a>> {
        Ok(match code {
            op::NONE | op::EMPTY_SET => Value::Opaque,
            op::NEWTRUE | op::NEWFALSE => Value::Boolean(code == op::NEWTRUE),
            op::EMPTY_LIST => self.heap.add_list(Vec::new()),
            op::EMPTY_TUPLE => self.heap.add_tuple(&[]),
            op::EMPTY_DICT => self.heap.add_dict(),
            op::BININT => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            op::BININT1 => Value::Integer(self.array::<1>()?[0].into()),
            op::BININT2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            op::LONG1 => {
                let length = self.length::<1>()?;
                long(self.take(length)?)
            }
            op::LONG4 => {
                let length = self.length::<4>()?;
                long(self.take(length)?)
            }
            op::BINFLOAT => self.array::<8>().map(|_| Value::Opaque)?,
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => self.text::<1>()?,
            op::BINSTRING | op::BINUNICODE => self.text::<4>()?,
            op::BINUNICODE8 => self.text::<8>()?,
            op::SHORT_BINBYTES => self.skip::<1>()?,
            op::BINBYTES => self.skip::<4>()?,
            op::BINBYTES8 => self.skip::<8>()?,
            _ => {
                let message = format!("its pickle has the opcode 0x{code:02x}, which no dictionary of tensors needs");
                return Err(self.subject.unsupported(message));
            }
        })
    }

    fn put(&mut self, code: u8) -> Result<()> {
        let key = match code {
            op::MEMOIZE => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
            _ => self.memo_key(code)?,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, code: u8) -> Result<Value<'a>> {
        let key = self.memo_key(code)?;
        self.memo.get(&key).copied().ok_or_else(|| self.damaged("it repeats a value that it did not store"))
    }

    fn memo_key(&mut self, code: u8) -> Result<u32> {
        match code {
            op::BINPUT | op::BINGET => self.array().map(|[key]: [u8; 1]| key.into()),
            _ => self.array().map(u32::from_le_bytes),
        }
    }

    fn tuple(&mut self, code: u8) -> Result<Value<'a>> {
        let start = match code {
            op::TUPLE1 => self.below(1)?,
            op::TUPLE2 => self.below(2)?,
            op::TUPLE3 => self.below(3)?,
            _ => self.mark()?,
        };
        let tuple = self.heap.add_tuple(&self.stack[start..]);
        self.stack.truncate(start);
        Ok(tuple)
    }

    /// Adds items to a list; those of a set have no meaning.
    fn append(&mut self, items: &[Value<'a>]) -> Result<()> {
        if let Value::List(list) = self.top()? {
            self.heap.extend(list, items);
        }
        Ok(())
    }

    /// Adds entries, keys and values in turn, to a dictionary.
    fn insert(&mut self, dict: Value<'a>, entries: &[Value<'a>]) -> Result<()> {
        let (Value::Dict(dict), (entries, [])) = (dict, entries.as_chunks()) else {
            return Err(self.damaged("it adds entries to something that is not a dictionary"));
        };
        for &[key, value] in entries {
            self.heap.insert(dict, key, value);
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<Value<'a>> {
        let (module, name) = if code == op::GLOBAL {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err(self.damaged("it asks for something whose name is not text")),
            }
        };
        Global::find(module, name).map(Value::Global).ok_or_else(|| self.subject.global(module, name))
    }

    /// Attributes of a dictionary, such as `_metadata`, say nothing about tensors. Nothing else has any.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err(self.subject.unsupported("its pickle gives attributes to something that is not a dictionary")),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let top = self.below(1)?;
        Ok(self.stack.remove(top))
    }

    fn top(&self) -> Result<Value<'a>> {
        self.below(1).map(|top| self.stack[top])
    }

    /// Position of the `count`-th value from the top, which must be above the last mark.
    fn below(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let position = self.stack.len().checked_sub(count).filter(|position| *position >= floor);
        position.ok_or_else(|| self.damaged("it uses a value that it did not have"))
    }

    /// Removes the last mark and returns its position.
    fn mark(&mut self) -> Result<usize> {
        self.marks.pop().ok_or_else(|| self.damaged("it uses a mark that it did not set"))
    }

    /// Removes the last mark and the values above it, and returns the values.
    fn above_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.mark()?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| self.damaged("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(*bytes.first_chunk().expect("exactly N bytes were taken"))
    }

    /// A length of `N` bytes, little-endian and unsigned. Where the format has a signed one, negative
    /// lengths become lengths that no file has.
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| self.damaged("it ends too early"))
    }

    fn text<const N: usize>(&mut self) -> Result<Value<'a>> {
        let length = self.length::<N>()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(Value::Text).map_err(|_| self.damaged("its text is not UTF-8"))
    }

    fn skip<const N: usize>(&mut self) -> Result<Value<'a>> {
        let length = self.length::<N>()?;
        self.take(length).map(|_| Value::Opaque)
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.bytes[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or_else(|| self.damaged("it ends too early"))?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| self.damaged("its text is not UTF-8"))
    }

    fn damaged(&self, what: &str) -> Error {
        self.subject.damaged(format!("its pickle is damaged at byte {}: {what}", self.at))
    }
}

/// A little-endian integer in two's complement. Those beyond 64 bits measure no tensor.
fn long(bytes: &[u8]) -> Value<'static> {
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut extended = [if negative { 0xff } else { 0 }; 8];
    extended[..bytes.len()].copy_from_slice(bytes);
    Value::Integer(i64::from_le_bytes(extended))
}
