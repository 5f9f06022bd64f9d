//! What a pickle or an npz holds: values in one arena, so that sharing, cycles and any depth of nesting cost nothing
//! extra to keep or to drop, and a cursor that knows the key path it took for the sake of its errors.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::array::{Array, Buffer, DType, Kind, decode, element_count};
use crate::error::{Error, Result};

/// The place of a value in its [`Document`].
pub(crate) type Id = u32;

/// The callables that a pickle may name. None is ever called: each stands for the array or bytes it would make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    Reconstruct,
    NdArray,
    DType,
    Scalar,
    FromBuffer,
    CodecsEncode,
    /// `bytes` and `bytearray`.
    Bytes,
    /// `set` and `frozenset`.
    Set,
}

/// One value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Valid UTF-8.
    Str(Buffer),
    /// Python 3 `bytes` and `bytearray`, and Python 2 `str`.
    Bytes(Buffer),
    /// A list or a set.
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// In file order; of equal keys the last one counts.
    Dict(Vec<(Id, Id)>),
    Array(Box<Array>),
    /// An array of Python objects: its shape and the list of its elements, the last axis running fastest.
    Objects(Vec<usize>, Id),
    DType(DType),
    Global(Global),
    /// What `_reconstruct` makes; BUILD turns it into an array.
    UnbuiltArray,
}

impl Value {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Str(_) => "a str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Array(_) => "an array",
            Value::Objects(..) => "an array of objects",
            Value::DType(_) => "a dtype",
            Value::Global(_) => "a callable",
            Value::UnbuiltArray => "an unfinished array",
        }
    }

    /// Text and bytes alike: Python 2 wrote its `str` as bytes.
    pub(crate) fn text_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(buffer) | Value::Bytes(buffer) => Some(buffer.bytes()),
            _ => None,
        }
    }

    /// How a key of a dict reads in a path.
    fn as_key(&self) -> String {
        match self {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            value => value.text_bytes().map_or_else(|| format!("<{}>", value.name()), |text| decode(text).into_owned()),
        }
    }
}

/// A whole file of values.
#[derive(Debug)]
pub struct Document {
    pub(crate) path: PathBuf,
    pub(crate) values: Vec<Value>,
    pub(crate) root: Id,
}

impl Document {
    /// The file that this came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The outermost value.
    pub fn root(&self) -> Item<'_> {
        Item { document: self, id: self.root, key: String::new() }
    }
}

/// A value of a [`Document`] and the keys that led to it. Every accessor's error names the file and those keys.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    document: &'a Document,
    id: Id,
    key: String,
}

impl<'a> Item<'a> {
    /// The keys from the root, joined by '/': `train/audio`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// An [`Error::Format`] about this place.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        let key = if self.key.is_empty() { "the whole file" } else { &self.key };
        Error::format(&self.document.path, key, message)
    }

    fn value(&self) -> &'a Value {
        self.document.value(self.id)
    }

    fn expected(&self, what: &str) -> Error {
        self.error(format!("expected {what}, found {}", self.value().name()))
    }

    fn child(&self, id: Id, name: impl std::fmt::Display) -> Item<'a> {
        let key = if self.key.is_empty() { name.to_string() } else { format!("{}/{name}", self.key) };
        Item { document: self.document, id, key }
    }

    /// The value under `name`, or `None` where the dict lacks it. An error where this is no dict.
    pub fn find(&self, name: &str) -> Result<Option<Item<'a>>> {
        let Value::Dict(entries) = self.value() else { return Err(self.expected("a dict")) };
        let named = |id: Id| self.document.value(id).text_bytes() == Some(name.as_bytes());
        Ok(entries.iter().rev().find(|(key, _)| named(*key)).map(|&(_, value)| self.child(value, name)))
    }

    /// The value under `name`; an error that lists the keys that are there where the dict lacks it.
    pub fn get(&self, name: &str) -> Result<Item<'a>> {
        match self.find(name)? {
            Some(item) => Ok(item),
            None => {
                let keys = self.entries()?.into_iter().map(|(key, _)| key).take(20).collect::<Vec<_>>().join(", ");
                Err(self.child(self.id, name).error(format!("this key is missing; the keys here are: {keys}")))
            }
        }
    }

    /// The entries of a dict whose keys are text or numbers, in file order.
    pub fn entries(&self) -> Result<Vec<(String, Item<'a>)>> {
        let Value::Dict(entries) = self.value() else { return Err(self.expected("a dict")) };
        let named = |&(key, value): &(Id, Id)| {
            let name = self.document.value(key).as_key();
            (name.clone(), self.child(value, name))
        };
        Ok(entries.iter().map(named).collect())
    }

    /// The elements of a list, tuple, set or array of objects.
    pub fn items(&self) -> Result<Vec<Item<'a>>> {
        let ids = self.ids()?.ok_or_else(|| self.expected("a list"))?;
        Ok(ids.iter().enumerate().map(|(i, &id)| self.child(id, i)).collect())
    }

    fn ids(&self) -> Result<Option<&'a [Id]>> {
        match self.value() {
            Value::List(ids) | Value::Tuple(ids) => Ok(Some(ids)),
            Value::Objects(shape, list) => match self.document.value(*list) {
                Value::List(ids) if element_count(shape) == Ok(ids.len()) => Ok(Some(ids)),
                _ => Err(self.error(format!("an array of objects of shape {shape:?} lacks elements"))),
            },
            _ => Ok(None),
        }
    }

    /// Text: `str`, or bytes that are UTF-8 or else Latin-1.
    pub fn str(&self) -> Result<Cow<'a, str>> {
        match self.value() {
            Value::Array(array) if array.shape().is_empty() => {
                let text = array.strings().and_then(|all| all.into_iter().next());
                text.map(Cow::Owned).ok_or_else(|| self.expected("text"))
            }
            value => value.text_bytes().map(decode).ok_or_else(|| self.expected("text")),
        }
    }

    /// A number: int, float, bool or numpy scalar.
    pub fn number(&self) -> Result<f64> {
        match self.value() {
            Value::Int(number) => Ok(*number as f64),
            Value::Float(number) => Ok(*number),
            Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
            Value::Array(array) if array.len() == 1 => {
                array.numbers().and_then(|all| all.into_iter().next()).ok_or_else(|| self.expected("a number"))
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// An array of numbers, bytes or text.
    pub fn array(&self) -> Result<&'a Array> {
        match self.value() {
            Value::Array(array) => Ok(array),
            _ => Err(self.expected("a numpy array of a plain type")),
        }
    }

    /// An array of numbers with that many axes. `axes` says in words what they are, for the error.
    pub fn numeric_array(&self, rank: usize, axes: &str) -> Result<&'a Array> {
        let array = self.array()?;
        let numeric = !matches!(array.dtype().kind, Kind::Bytes | Kind::Text | Kind::Object);
        if numeric && array.shape().len() == rank {
            return Ok(array);
        }
        Err(self.error(format!(
            "expected numbers of shape {axes}, found {} of shape {:?}",
            array.dtype(),
            array.shape()
        )))
    }

    /// One number per element of a list or of an array with one axis (further axes must have extent 1).
    pub fn numbers(&self) -> Result<Vec<f64>> {
        if let Some(ids) = self.ids()? {
            return ids.iter().enumerate().map(|(i, &id)| self.child(id, i).number()).collect();
        }
        let array = self.array()?;
        self.expect_column(array)?;
        array.numbers().ok_or_else(|| self.error(format!("expected numbers, found {}", array.dtype())))
    }

    /// One text per element of a list or of an array with one axis (further axes must have extent 1).
    pub fn strings(&self) -> Result<Vec<String>> {
        if let Some(ids) = self.ids()? {
            return ids.iter().enumerate().map(|(i, &id)| Ok(self.child(id, i).str()?.into_owned())).collect();
        }
        let array = self.array()?;
        self.expect_column(array)?;
        array.strings().ok_or_else(|| self.error(format!("expected text, found {}", array.dtype())))
    }

    fn expect_column(&self, array: &Array) -> Result<()> {
        match array.shape() {
            [_, rest @ ..] if rest.iter().all(|&extent| extent == 1) => Ok(()),
            shape => Err(self.error(format!("expected shape [N], found {shape:?}"))),
        }
    }
}
