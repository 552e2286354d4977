//! A pickle machine that calls nothing.
//!
//! A pickle is a program for a small stack machine; Python's own reader runs whatever functions it names. This one
//! builds plain data (numbers, strings, tuples, lists, dictionaries) and keeps every global, call and persistent id as
//! a description of itself. Who reads the result decides which descriptions mean something (`torch.rs` knows seven).
//!
//! Hostile input is bounded by construction: an instruction of at least one byte makes at most one object, strings are
//! borrowed from the file, objects refer to each other by index (so that loops neither leak nor recurse), and the
//! program itself may have [`MAX_LEN`] bytes.

use std::collections::HashMap;

/// The longest program accepted. A state dict takes about 200 bytes a tensor, SD 1.5 with everything 0.5 MB.
const MAX_LEN: usize = 16 << 20;

/// Which object, see [`Pickle::get`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A value that a pickle describes.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Int(i64),
    Str(&'a str),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class: module and name.
    Global(&'a str, &'a str),
    /// A call that nobody made: what, with which arguments.
    Call(Id, Id),
    /// Something that lives outside the pickle: a storage, in PyTorch's case.
    Persistent(Id),
    /// Anything that no state dict needs to be understood: booleans, floats, bytes, lists, sets, None, long integers.
    Other,
}

/// The objects of a pickle.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        // Ids are made by the machine alone and objects are never removed.
        &self.objects[id.0 as usize]
    }

    pub(super) fn str(&self, id: Id) -> Option<&'a str> {
        if let Object::Str(s) = self.get(id) { Some(s) } else { None }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Object::Tuple(items) = self.get(id) { Some(items) } else { None }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        if let Object::Dict(items) = self.get(id) { Some(items) } else { None }
    }

    /// A number that can be a size.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        if let Object::Int(i) = self.get(id) { usize::try_from(*i).ok() } else { None }
    }

    /// The `module.name` of a global.
    pub(super) fn global(&self, id: Id) -> Option<String> {
        if let Object::Global(module, name) = self.get(id) { Some(format!("{module}.{name}")) } else { None }
    }
}

/// Runs the program.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    if bytes.len() > MAX_LEN {
        return Err(format!("the pickle has {} bytes, at most {MAX_LEN} are accepted", bytes.len()));
    }
    let mut machine =
        Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok(Pickle { objects: machine.objects, root }),
            Err(message) => return Err(format!("the pickle is malformed at byte {at}: {message}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

const UNDERFLOW: &str = "the stack is empty";

impl<'a> Machine<'a> {
    /// One instruction; gives the result at STOP.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [op] = self.array()?;
        match op {
            // PROTO, FRAME: nothing to know
            0x80 => drop(self.array::<1>()?),
            0x95 => drop(self.array::<8>()?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = *self.stack.last().ok_or(UNDERFLOW)?;
                self.stack.push(top);
            }
            // NONE, NEWTRUE, NEWFALSE
            b'N' | 0x88 | 0x89 => self.push(Object::Other),
            // BININT, BININT1, BININT2
            b'J' => self.array().map(|b| self.push(Object::Int(i32::from_le_bytes(b).into())))?,
            b'K' => self.array().map(|[b]| self.push(Object::Int(b.into())))?,
            b'M' => self.array().map(|b| self.push(Object::Int(u16::from_le_bytes(b).into())))?,
            // LONG1, LONG4
            0x8a => self.len1().and_then(|len| self.long(len))?,
            0x8b => self.len4().and_then(|len| self.long(len))?,
            // BINFLOAT
            b'G' => self.array::<8>().map(|_| self.push(Object::Other))?,
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8; BINSTRING and SHORT_BINSTRING, which Python 2 wrote
            b'X' | b'T' => self.len4().and_then(|len| self.string(len))?,
            0x8c | b'U' => self.len1().and_then(|len| self.string(len))?,
            0x8d => self.len8().and_then(|len| self.string(len))?,
            // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
            b'B' => self.len4().and_then(|len| self.opaque(len))?,
            b'C' => self.len1().and_then(|len| self.opaque(len))?,
            0x8e | 0x96 => self.len8().and_then(|len| self.opaque(len))?,
            // EMPTY_TUPLE, TUPLE, TUPLE1 to TUPLE3
            b')' => self.push(Object::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(op - 0x84)).ok_or(UNDERFLOW)?;
                let items = self.stack.split_off(from);
                self.push(Object::Tuple(items));
            }
            // EMPTY_DICT, DICT, SETITEM, SETITEMS
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.push(Object::Dict(items));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.pop_mark()?)?;
                self.extend(items)?;
            }
            // EMPTY_LIST, EMPTY_SET; LIST, FROZENSET; APPEND; APPENDS, ADDITEMS: lists and sets hold no named tensors
            b']' | 0x8f => self.push(Object::Other),
            b'l' | 0x91 => self.pop_mark().map(|_| self.push(Object::Other))?,
            b'a' => drop(self.pop()?),
            b'e' | 0x90 => drop(self.pop_mark()?),
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Str(module), Object::Str(name)) = (self.get(module), self.get(name)) else {
                    return Err("a global without a name".into());
                };
                self.push(Object::Global(module, name));
            }
            // REDUCE, NEWOBJ, NEWOBJ_EX
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args);
            }
            0x92 => {
                let (_, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, args);
            }
            // BUILD: state for an object that is not being made (or the `_metadata` of an OrderedDict)
            b'b' => drop(self.pop()?),
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }
            // BINPUT, LONG_BINPUT, MEMOIZE; BINGET, LONG_BINGET
            b'q' => self.array().and_then(|[index]| self.remember(index.into()))?,
            b'r' => self.array().and_then(|b| self.remember(u32::from_le_bytes(b)))?,
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => self.array().and_then(|[index]| self.recall(index.into()))?,
            b'j' => self.array().and_then(|b| self.recall(u32::from_le_bytes(b)))?,
            _ => return Err(format!("instruction 0x{op:02x} has no place in a state dict of protocol 2 or later")),
        }
        Ok(None)
    }

    fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id.0 as usize]
    }

    fn push(&mut self, object: Object<'a>) {
        // Fits: the program has fewer bytes than u32 has numbers.
        self.stack.push(Id(self.objects.len() as u32));
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // What lies under a mark belongs to whoever pops the mark.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(UNDERFLOW.into());
        }
        self.stack.pop().ok_or_else(|| UNDERFLOW.into())
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark on the stack")?;
        if mark > self.stack.len() {
            return Err(UNDERFLOW.into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, items: Vec<(Id, Id)>) -> Result<(), String> {
        let target = *self.stack.last().ok_or(UNDERFLOW)?;
        // Items of something that is not a dictionary, such as a call that was not made, are dropped with it.
        if let Object::Dict(dict) = &mut self.objects[target.0 as usize] {
            dict.extend(items);
        }
        Ok(())
    }

    fn call(&mut self, callee: Id, args: Id) {
        let ordered_dict = matches!(self.get(callee), Object::Global("collections", "OrderedDict"));
        let no_args = matches!(self.get(args), Object::Tuple(items) if items.is_empty());
        self.push(if ordered_dict && no_args { Object::Dict(Vec::new()) } else { Object::Call(callee, args) });
    }

    fn remember(&mut self, index: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), String> {
        let id = self.memo.get(&index).ok_or_else(|| format!("nothing was put at memo {index}"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        let taken = left.get(..len).ok_or_else(|| format!("truncated: {len} bytes expected, {} left", left.len()))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "truncated".to_string())
    }

    fn len1(&mut self) -> Result<usize, String> {
        self.array().map(|[len]| usize::from(len))
    }

    fn len4(&mut self) -> Result<usize, String> {
        self.array().map(|b| u32::from_le_bytes(b) as usize)
    }

    fn len8(&mut self) -> Result<usize, String> {
        self.array().map(|b| usize::try_from(u64::from_le_bytes(b)).unwrap_or(usize::MAX))
    }

    fn long(&mut self, len: usize) -> Result<(), String> {
        let digits = self.take(len)?;
        // Little-endian two's complement of any length; more than eight bytes is no size of anything.
        let object = if len > 8 {
            Object::Other
        } else {
            let fill = if digits.last().is_some_and(|high| high & 0x80 != 0) { 0xff } else { 0 };
            let mut bytes = [fill; 8];
            bytes[..len].copy_from_slice(digits);
            Object::Int(i64::from_le_bytes(bytes))
        };
        self.push(object);
        Ok(())
    }

    fn string(&mut self, len: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a string is not UTF-8")?;
        self.push(Object::Str(text));
        Ok(())
    }

    fn opaque(&mut self, len: usize) -> Result<(), String> {
        self.take(len)?;
        self.push(Object::Other);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let left = &self.bytes[self.at..];
        let len = left.iter().position(|b| *b == b'\n').ok_or("truncated: a line without end")?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| "a global's name is not UTF-8".to_string())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a key without a value".into());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
