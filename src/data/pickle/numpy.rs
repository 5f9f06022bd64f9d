//! The opcodes that would import and call. Only the names under which numpy writes arrays get through, and they become
//! arrays here; no other name is even kept.

use super::super::array::{Array, Buffer, DType, Kind, Layout, decode, element_count};
use super::super::document::{Global, Id, Value};
use super::machine::{Machine, Step};

/// numpy 1 and numpy 2 name the same functions in `numpy.core` and `numpy._core`; Python 2 and 3 name builtins apart.
fn recognise(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("numpy", "ndarray") => Global::NdArray,
        ("numpy", "dtype") => Global::DType,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::FromBuffer,
        ("_codecs", "encode") => Global::CodecsEncode,
        ("__builtin__" | "builtins", "bytes" | "bytearray") => Global::Bytes,
        ("__builtin__" | "builtins", "set" | "frozenset") => Global::Set,
        _ => return None,
    })
}

impl Machine<'_> {
    pub(super) fn object(&mut self, opcode: u8) -> Step {
        match opcode {
            b'c' => {
                let (module, name) = self.global_lines()?;
                self.import(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.text_of(module), self.text_of(name)) {
                    (Some(module), Some(name)) => self.import(&module, &name),
                    _ => Err(self.fault("refuses to import a name that is no text")),
                }
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            b'b' => {
                let state = self.pop()?;
                self.build(state)
            }
            b'i' => {
                let (module, name) = self.global_lines()?;
                Err(self.refuse_import(&module, &name, " and to make an object of it"))
            }
            b'o' | 0x81 | 0x92 => {
                Err(self.fault("refuses to make an object: only plain containers and numpy arrays are read"))
            }
            b'P' | b'Q' => Err(self.fault("refuses a persistent reference: the data lies outside of the file")),
            _ => {
                Err(self.fault("refuses to import by extension code: only plain containers and numpy arrays are read"))
            }
        }
    }

    fn global_lines(&mut self) -> Step<(String, String)> {
        let module = decode(self.line()?).into_owned();
        let name = decode(self.line()?).into_owned();
        Ok((module, name))
    }

    fn import(&mut self, module: &str, name: &str) -> Step {
        match recognise(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.refuse_import(module, name, "")),
        }
    }

    fn refuse_import(&self, module: &str, name: &str, more: &str) -> super::Fault {
        let full: String = format!("{module}.{name}").chars().take(100).collect();
        self.fault(format!(
            "refuses to import {full}{more}: only plain containers and numpy arrays are read, no code is run"
        ))
    }

    /// What calling a recognised name would make.
    fn call(&mut self, function: Id, arguments: Id) -> Step {
        let Value::Tuple(arguments) = self.value(arguments) else {
            return Err(self.fault("a call without a tuple of arguments: the file is corrupt"));
        };
        let arguments: Vec<Id> = arguments.iter().take(8).copied().collect();
        let value = match (self.value(function), arguments.as_slice()) {
            (Value::Global(Global::Reconstruct), &[class, shape, _]) => self.reconstruct(class, shape)?,
            (Value::Global(Global::DType), &[name] | &[name, _] | &[name, _, _]) => self.dtype(name)?,
            (Value::Global(Global::Scalar), &[dtype, bytes]) => {
                let dtype = self.dtype_of(dtype)?;
                let bytes = self.bytes_of(bytes)?;
                self.array(dtype, &[], Layout::C, bytes)?
            }
            (Value::Global(Global::FromBuffer), &[bytes, dtype, shape, order]) => {
                self.array_of_buffer(bytes, dtype, shape, order, None)?
            }
            (Value::Global(Global::FromBuffer), &[bytes, dtype, shape, order, axes]) => {
                self.array_of_buffer(bytes, dtype, shape, order, Some(axes))?
            }
            (Value::Global(Global::CodecsEncode | Global::Bytes), &[text, codec]) => self.encode(text, codec)?,
            (Value::Global(Global::Bytes), &[]) => Value::Bytes(Buffer::owned(Vec::new())),
            (Value::Global(Global::Bytes), &[bytes]) => Value::Bytes(self.bytes_of(bytes)?),
            (Value::Global(Global::Set), &[list]) if matches!(self.value(list), Value::List(_)) => {
                self.push_again(list);
                return Ok(());
            }
            (Value::Global(global), _) => {
                return Err(self.fault(format!("refuses to call {global:?} in a way that numpy never does")));
            }
            (other, _) => return Err(self.fault(format!("refuses to call {}", other.name()))),
        };
        self.push(value)
    }

    /// `_reconstruct(numpy.ndarray, (0,), b'b')`, and nothing else.
    fn reconstruct(&self, class: Id, shape: Id) -> Step<Value> {
        match (self.value(class), self.shape(shape)?.as_slice()) {
            (Value::Global(Global::NdArray), [0]) => Ok(Value::UnbuiltArray),
            _ => Err(self.fault("refuses to reconstruct anything but a numpy.ndarray")),
        }
    }

    fn dtype(&self, name: Id) -> Step<Value> {
        let name = self
            .text_of(name)
            .ok_or_else(|| self.fault("a dtype is not named by text; structured types are not read"))?;
        DType::parse(&name).map(Value::DType).map_err(|message| self.fault(message))
    }

    /// BUILD: gives a dtype its byte order, an array its content.
    fn build(&mut self, state: Id) -> Step {
        let state = match self.value(state) {
            Value::Tuple(items) => items.iter().take(16).copied().collect(),
            _ => Vec::new(),
        };
        let built = match self.value(self.top()?) {
            Value::DType(dtype) => self.dtype_with_state(*dtype, &state)?,
            Value::UnbuiltArray => self.array_from_state(&state)?,
            other => return Err(self.fault(format!("refuses to set the state of {}", other.name()))),
        };
        *self.top_mut()? = built;
        Ok(())
    }

    /// `(version, byte order, subarray, names, fields, size, alignment, flags, ...)`.
    fn dtype_with_state(&self, mut dtype: DType, state: &[Id]) -> Step<Value> {
        let &[version, order, subarray, names, fields, ..] = state else {
            return Err(self.fault("a dtype's state is not numpy's"));
        };
        if !matches!(self.value(version), Value::Int(2..=4)) {
            return Err(self.fault("a dtype's state has an unknown version"));
        }
        if [subarray, names, fields].iter().any(|&id| !matches!(self.value(id), Value::None)) {
            return Err(self.fault("a structured dtype is not read; save each field as its own array"));
        }
        dtype.big_endian = match self.text_of(order).as_deref() {
            Some("<" | "|" | "=") => false,
            Some(">") => true,
            _ => return Err(self.fault("a dtype's byte order is none of < > | =")),
        };
        Ok(Value::DType(dtype))
    }

    /// `(1, shape, dtype, is Fortran, bytes or list)`.
    fn array_from_state(&self, state: &[Id]) -> Step<Value> {
        let &[version, shape, dtype, fortran, data] = state else {
            return Err(self.fault("an array's state is not numpy's"));
        };
        if !matches!(self.value(version), Value::Int(1)) {
            return Err(self.fault("an array's state has an unknown version"));
        }
        let (shape, dtype) = (self.shape(shape)?, self.dtype_of(dtype)?);
        let fortran = match self.value(fortran) {
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            other => return Err(self.fault(format!("an array's order is {}, expected a bool", other.name()))),
        };
        if dtype.kind == Kind::Object {
            let count = element_count(&shape).map_err(|message| self.fault(message))?;
            return match self.value(data) {
                Value::List(items) if items.len() == count => Ok(Value::Objects(shape, data)),
                other => Err(self.fault(format!("an array of {count} objects is given {}", other.name()))),
            };
        }
        self.array(dtype, &shape, if fortran { Layout::Fortran } else { Layout::C }, self.bytes_of(data)?)
    }

    /// `_frombuffer(bytes, dtype, shape, 'C' | 'F' | 'K', axis order)`.
    fn array_of_buffer(&self, bytes: Id, dtype: Id, shape: Id, order: Id, axes: Option<Id>) -> Step<Value> {
        let (bytes, dtype, shape) = (self.bytes_of(bytes)?, self.dtype_of(dtype)?, self.shape(shape)?);
        let axes = axes.filter(|&id| !matches!(self.value(id), Value::None)).map(|id| self.shape(id)).transpose()?;
        match (self.text_of(order).as_deref(), axes) {
            (Some("C"), None) => self.array(dtype, &shape, Layout::C, bytes),
            (Some("F"), None) => self.array(dtype, &shape, Layout::Fortran, bytes),
            (Some("K"), Some(axes)) => self.array(dtype, &shape, Layout::Permuted(&axes), bytes),
            _ => Err(self.fault("an array's order is none of C, F, K")),
        }
    }

    fn array(&self, dtype: DType, shape: &[usize], layout: Layout<'_>, bytes: Buffer) -> Step<Value> {
        let array = Array::new(dtype, shape, layout, bytes).map_err(|message| self.fault(message))?;
        Ok(Value::Array(Box::new(array)))
    }

    /// `_codecs.encode(text, 'latin1')`: how protocols 0 to 2 write bytes from Python 3.
    fn encode(&mut self, text: Id, codec: Id) -> Step<Value> {
        if !matches!(self.text_of(codec).as_deref(), Some("latin1" | "latin-1")) {
            return Err(self.fault("refuses to encode text as anything but latin1"));
        }
        let Value::Str(text) = self.value(text) else {
            return Err(self.fault("refuses to encode what is no text"));
        };
        let text = text.clone();
        self.copy_budget(text.bytes().len())?;
        let text = std::str::from_utf8(text.bytes()).unwrap_or_default();
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes =
            bytes.ok_or_else(|| self.fault("bytes that were written as text hold a character beyond latin1"))?;
        Ok(Value::Bytes(Buffer::owned(bytes)))
    }

    // Arguments.

    /// A short text: a name, a byte order.
    fn text_of(&self, id: Id) -> Option<String> {
        let bytes = self.value(id).text_bytes().filter(|bytes| bytes.len() <= 200)?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn bytes_of(&self, id: Id) -> Step<Buffer> {
        match self.value(id) {
            Value::Bytes(buffer) => Ok(buffer.clone()),
            other => Err(self.fault(format!("an array's data is {}, expected bytes", other.name()))),
        }
    }

    fn dtype_of(&self, id: Id) -> Step<DType> {
        match self.value(id) {
            Value::DType(dtype) => Ok(*dtype),
            other => Err(self.fault(format!("an array's dtype is {}", other.name()))),
        }
    }

    fn shape(&self, id: Id) -> Step<Vec<usize>> {
        let Value::Tuple(items) = self.value(id) else {
            return Err(self.fault(format!("a shape is {}, expected a tuple", self.value(id).name())));
        };
        let extent = |&id: &Id| match self.value(id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        // One axis more than any array has, so that the check of the rank sees it.
        let shape: Option<Vec<usize>> = items.iter().take(65).map(extent).collect();
        shape.ok_or_else(|| self.fault("a shape holds something else than counts"))
    }
}
