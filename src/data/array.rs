//! numpy arrays as they lie in a file: a type, a shape, strides and bytes that are still the file's own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// numpy 2 allows 64 axes; more is not an array.
const MAX_RANK: usize = 64;

/// A checked range of shared bytes: cloning one copies no data.
#[derive(Clone)]
pub(crate) struct Buffer {
    bytes: Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The range `start..end` of `bytes`, or `None` where it reaches outside.
    pub(crate) fn slice(bytes: &Arc<Vec<u8>>, start: usize, end: usize) -> Option<Self> {
        bytes.get(start..end)?;
        Some(Buffer { bytes: Arc::clone(bytes), start, end })
    }

    /// All of `bytes`.
    pub(crate) fn owned(bytes: Vec<u8>) -> Self {
        Buffer { start: 0, end: bytes.len(), bytes: Arc::new(bytes) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.end - self.start)
    }
}

/// What an element is, after numpy's `dtype.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `b1`
    Bool,
    /// `i1`, `i2`, `i4`, `i8`
    Int,
    /// `u1`, `u2`, `u4`, `u8`
    Uint,
    /// `f2`, `f4`, `f8`
    Float,
    /// `S<n>`: n bytes, padded with NUL.
    Bytes,
    /// `U<n>`: n code points of 4 bytes, padded with NUL.
    Text,
    /// `O`: Python objects.
    Object,
}

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DType {
    /// What an element is.
    pub kind: Kind,
    /// Bytes per element.
    pub size: usize,
    /// Whether elements of more than one byte have their highest byte first.
    pub big_endian: bool,
}

impl DType {
    /// Reads numpy's spelling: `f4`, `<f4`, `>i8`, `|b1`, `U12`, `O8`. Says what is wrong otherwise.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unknown =
            || format!("dtype '{text}' is none of f2 f4 f8 i1-i8 u1-u8 b1 S U O; convert it with numpy's astype");
        let (big_endian, name) = match text.strip_prefix(['<', '|', '=']) {
            Some(name) => (false, name),
            None => text.strip_prefix('>').map_or((false, text), |name| (true, name)),
        };
        let mut chars = name.chars();
        let letter = chars.next().ok_or_else(unknown)?;
        let digits = chars.as_str();
        let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<usize>().ok() } else { None };
        let (kind, size) = match (letter, number) {
            ('?', None) if digits.is_empty() => (Kind::Bool, 1),
            ('b', Some(1)) => (Kind::Bool, 1),
            ('i', Some(size @ (1 | 2 | 4 | 8))) => (Kind::Int, size),
            ('u', Some(size @ (1 | 2 | 4 | 8))) => (Kind::Uint, size),
            ('f', Some(size @ (2 | 4 | 8))) => (Kind::Float, size),
            ('S', Some(size)) => (Kind::Bytes, size),
            ('U', Some(size)) => (Kind::Text, size.checked_mul(4).ok_or_else(unknown)?),
            ('O', Some(8) | None) if digits.len() < 2 => (Kind::Object, 8),
            _ => return Err(unknown()),
        };
        Ok(DType { kind, size, big_endian })
    }

    /// The function that reads one element as a number; `None` for text, bytes and objects.
    fn number_reader(self) -> Option<fn(&[u8]) -> f64> {
        macro_rules! reader {
            ($number:ty) => {
                if self.big_endian {
                    |b: &[u8]| <$number>::from_be_bytes(fixed(b)) as f64
                } else {
                    |b: &[u8]| <$number>::from_le_bytes(fixed(b)) as f64
                }
            };
        }
        Some(match (self.kind, self.size) {
            (Kind::Bool, _) => |b| f64::from(b.iter().any(|&x| x != 0)),
            (Kind::Int, 1) => reader!(i8),
            (Kind::Int, 2) => reader!(i16),
            (Kind::Int, 4) => reader!(i32),
            (Kind::Int, _) => reader!(i64),
            (Kind::Uint, 1) => reader!(u8),
            (Kind::Uint, 2) => reader!(u16),
            (Kind::Uint, 4) => reader!(u32),
            (Kind::Uint, _) => reader!(u64),
            (Kind::Float, 2) if self.big_endian => |b| half::f16::from_be_bytes(fixed(b)).to_f64(),
            (Kind::Float, 2) => |b| half::f16::from_le_bytes(fixed(b)).to_f64(),
            (Kind::Float, 4) => reader!(f32),
            (Kind::Float, _) => reader!(f64),
            (Kind::Bytes | Kind::Text | Kind::Object, _) => return None,
        })
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match (self.kind, self.size) {
            (Kind::Bytes | Kind::Object, _) | (_, 1) => "|",
            _ if self.big_endian => ">",
            _ => "<",
        };
        match self.kind {
            Kind::Bool => write!(f, "{order}b1"),
            Kind::Int => write!(f, "{order}i{}", self.size),
            Kind::Uint => write!(f, "{order}u{}", self.size),
            Kind::Float => write!(f, "{order}f{}", self.size),
            Kind::Bytes => write!(f, "{order}S{}", self.size),
            Kind::Text => write!(f, "{order}U{}", self.size / 4),
            Kind::Object => write!(f, "{order}O"),
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from);
    out
}

/// How the bytes of an array follow its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout<'a> {
    /// The last axis runs fastest.
    C,
    /// The first axis runs fastest.
    Fortran,
    /// The bytes hold `shape` in C order and the array is that with its axes permuted: axis `i` is axis `axes[i]`.
    Permuted(&'a [usize]),
}

/// An array of numbers, bytes or text. The element count has been checked against the bytes.
#[derive(Debug, Clone)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    /// In elements, one per axis.
    strides: Vec<usize>,
    data: Buffer,
}

impl Array {
    /// Checks that `data` holds exactly what `shape` and `dtype` ask for; says what does not fit.
    pub(crate) fn new(dtype: DType, shape: &[usize], layout: Layout<'_>, data: Buffer) -> Result<Self, String> {
        let count = element_count(shape)?;
        let have = data.bytes().len();
        if dtype.kind == Kind::Object {
            return Err("an array of objects has no bytes of its own".into());
        }
        if dtype.size == 0 && count > 0 {
            return Err(format!("dtype {dtype} has no bytes but the shape {shape:?} asks for {count} elements"));
        }
        let need = count.checked_mul(dtype.size);
        if need != Some(have) {
            return Err(format!(
                "{dtype} {shape:?} needs {count} elements of {} bytes but {have} bytes are there",
                dtype.size
            ));
        }
        let fortran = layout == Layout::Fortran;
        let (mut shape, mut strides) = (shape.to_vec(), strides(shape, fortran));
        if let Layout::Permuted(axes) = layout {
            (shape, strides) =
                permute(axes, &shape, &strides).ok_or("the axis order is not a permutation of the axes")?;
        }
        Ok(Array { dtype, shape, strides, data })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extent of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All elements as numbers, the last axis running fastest; `None` for text and bytes.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        let mut out = Vec::with_capacity(self.len());
        self.read_block(0, &self.shape, &self.strides, self.len(), &mut out)?;
        Some(out)
    }

    /// The first `limit` numbers of `self[index]`, the last axis running fastest; `None` for text and bytes and where
    /// the first axis has no such index.
    pub fn block(&self, index: usize, limit: usize) -> Option<Vec<f64>> {
        let (&count, shape) = self.shape.split_first()?;
        let (&stride, strides) = self.strides.split_first()?;
        if index >= count {
            return None;
        }
        let limit = limit.min(shape.iter().product());
        let mut out = Vec::with_capacity(limit);
        self.read_block(index * stride, shape, strides, limit, &mut out)?;
        Some(out)
    }

    /// All elements as text: `U` as it is, `S` as UTF-8 or, where it is not, Latin-1; `None` for numbers and for code
    /// points that do not exist.
    pub fn strings(&self) -> Option<Vec<String>> {
        let mut out = Vec::with_capacity(if self.dtype.size == 0 { 0 } else { self.len() });
        let mut failed = false;
        self.walk(0, &self.shape, &self.strides, self.len(), &mut |bytes| match self.text(bytes) {
            Some(text) => out.push(text),
            None => failed = true,
        });
        (!failed).then_some(out)
    }

    fn text(&self, bytes: &[u8]) -> Option<String> {
        match self.dtype.kind {
            Kind::Bytes => {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                Some(decode(bytes.get(..end)?).into_owned())
            }
            Kind::Text => {
                let point = |b: &[u8]| {
                    if self.dtype.big_endian { u32::from_be_bytes(fixed(b)) } else { u32::from_le_bytes(fixed(b)) }
                };
                let text: Option<String> = bytes.chunks_exact(4).map(|b| char::from_u32(point(b))).collect();
                text.map(|text| text.trim_end_matches('\0').to_owned())
            }
            _ => None,
        }
    }

    fn read_block(
        &self,
        start: usize,
        shape: &[usize],
        strides: &[usize],
        limit: usize,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        let read = self.dtype.number_reader()?;
        self.walk(start, shape, strides, limit, &mut |bytes| out.push(read(bytes)));
        Some(())
    }

    /// Visits the first `limit` elements of the block at element `start`, the last axis running fastest.
    fn walk(&self, start: usize, shape: &[usize], strides: &[usize], limit: usize, visit: &mut dyn FnMut(&[u8])) {
        let size = self.dtype.size;
        let data = self.data.bytes();
        if size == 0 || limit == 0 {
            return;
        }
        if strides == self::strides(shape, false) {
            let block = start.checked_mul(size).and_then(|at| data.get(at..)).unwrap_or_default();
            block.chunks_exact(size).take(limit).for_each(visit);
            return;
        }
        let mut index = vec![0; shape.len()];
        for _ in 0..limit {
            let element = start + index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>();
            visit(data.get(element * size..(element + 1) * size).unwrap_or_default());
            for (i, &extent) in index.iter_mut().zip(shape).rev() {
                *i += 1;
                if *i < extent {
                    break;
                }
                *i = 0;
            }
        }
    }
}

/// Bytes as UTF-8 or, where they are not, Latin-1: what Python 2's `str` may be.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// The product of a shape, checked so that no product over some of its axes overflows either.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > MAX_RANK {
        return Err(format!("{} axes are more than numpy's {MAX_RANK}", shape.len()));
    }
    let bound = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent.max(1)));
    match bound {
        Some(_) => Ok(shape.iter().product()),
        None => Err(format!("the shape {shape:?} has more elements than can be counted")),
    }
}

fn strides(shape: &[usize], fortran: bool) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    let mut set = |(stride, &extent): (&mut usize, &usize)| {
        *stride = step;
        step *= extent.max(1);
    };
    if fortran {
        strides.iter_mut().zip(shape).for_each(&mut set);
    } else {
        strides.iter_mut().zip(shape).rev().for_each(&mut set);
    }
    strides
}

fn permute(axes: &[usize], shape: &[usize], strides: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    let mut seen = vec![false; shape.len()];
    for &axis in axes {
        if std::mem::replace(seen.get_mut(axis)?, true) {
            return None;
        }
    }
    let pick = |of: &[usize]| axes.iter().map(|&axis| of.get(axis).copied()).collect::<Option<Vec<_>>>();
    (axes.len() == shape.len()).then(|| Some((pick(shape)?, pick(strides)?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: u8) -> Buffer {
        Buffer::owned((0..count).collect())
    }

    #[test]
    fn layouts_yield_the_same_array() {
        let u1 = DType::parse("u1").unwrap();
        let c = Array::new(u1, &[2, 3], Layout::C, bytes(6)).unwrap();
        assert_eq!(c.numbers().unwrap(), [0., 1., 2., 3., 4., 5.]);
        let f = Array::new(u1, &[2, 3], Layout::Fortran, bytes(6)).unwrap();
        assert_eq!(f.numbers().unwrap(), [0., 2., 4., 1., 3., 5.]);
        assert_eq!(f.block(1, 2).unwrap(), [1., 3.]);
        let k = Array::new(u1, &[3, 2], Layout::Permuted(&[1, 0]), bytes(6)).unwrap();
        assert_eq!(k.shape(), [2, 3]);
        assert_eq!(k.numbers().unwrap(), [0., 2., 4., 1., 3., 5.]);
        assert!(Array::new(u1, &[3, 2], Layout::Permuted(&[1, 1]), bytes(6)).is_err());
    }

    #[test]
    fn claims_beyond_the_bytes_are_refused() {
        let f4 = DType::parse("<f4").unwrap();
        assert!(Array::new(f4, &[usize::MAX, 2], Layout::C, bytes(8)).is_err());
        assert!(Array::new(f4, &[usize::MAX, 0, usize::MAX], Layout::C, bytes(0)).is_err());
        assert!(Array::new(f4, &[3], Layout::C, bytes(8)).is_err());
        assert!(Array::new(DType::parse("U0").unwrap(), &[1 << 40], Layout::C, bytes(0)).is_err());
        assert!(DType::parse("c8").is_err() && DType::parse("f16").is_err() && DType::parse("").is_err());
    }
}
