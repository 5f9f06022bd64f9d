//! What the weights of other frameworks have in common: each of their tensors is made of some of ours.

use super::{Tensor, Tensors};
use crate::error::Result;
use crate::graph::{Parameters, Shape, check_values};
use std::collections::BTreeMap;

/// One of our tensors: `len` values from `start` on in the values of parameter `parameter`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    parameter: usize,
    start: usize,
    len: usize,
}

/// How a foreign tensor lies in comparison with ours.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// Its sources one after the other.
    Rows,
    /// Keras' kernel of a weight of this shape ([`to_kernel`]); `swap` are the values of a gate of a GRU ([`swap_gates`]).
    Kernel { shape: Shape, swap: Option<usize> },
    /// Keras' one bias of an LSTM: the sum of its two.
    LstmBias,
    /// Keras' bias of a GRU, both of it, of this many values per gate.
    GruBias(usize),
}

/// A tensor of another framework.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) sources: Vec<Source>,
    pub(super) layout: Layout,
}

/// Our tensors by name.
pub(super) struct Ours(BTreeMap<String, (Shape, Source)>);

/// A projection of a multi-head attention.
pub(super) struct AttentionPart<'a> {
    /// The attention's path.
    pub(super) place: &'a str,
    /// "query", "key", "value" or "output".
    pub(super) part: &'a str,
}

impl Ours {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let mut ours = BTreeMap::new();
        for (parameter, spec) in parameters.specs().iter().enumerate() {
            for (name, shape, start) in spec.named() {
                ours.insert(name, (shape, Source { parameter, start, len: shape.len() }));
            }
        }
        Ours(ours)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Shape, Source)> {
        self.0.iter().map(|(name, (shape, source))| (name.as_str(), *shape, *source))
    }

    pub(super) fn get(&self, name: &str) -> Option<(Shape, Source)> {
        self.0.get(name).copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What `layer`, the path of a linear layer, is of an attention.
    pub(super) fn attention<'a>(&self, layer: &'a str) -> Option<AttentionPart<'a>> {
        let (place, part) = layer.rsplit_once('.')?;
        let parts = ["query", "key", "value", "output"];
        let whole = parts.iter().all(|part| self.has(&format!("{place}.{part}.weight")));
        (whole && parts.contains(&part)).then_some(AttentionPart { place, part })
    }
}

/// The entries' tensors, made of `values`, one vector per parameter.
pub(super) fn export(entries: &[Entry], parameters: &Parameters, values: &[Vec<f32>]) -> Result<Tensors> {
    check_values(parameters, values)?;
    let mut tensors = Tensors::new();
    for entry in entries {
        let part = |source: &Source| &values[source.parameter][source.start..source.start + source.len];
        let parts: Vec<&[f32]> = entry.sources.iter().map(part).collect();
        tensors.insert(&entry.name, Tensor::f32(entry.shape.clone(), entry.layout.encode(&parts))?);
    }
    Ok(tensors)
}

/// One vector per parameter, made of the entries' tensors, which all must be there, and no others but those that `ignored` names. Where
/// all names begin with the name of a wrapper (up to `separator`), it does not count.
pub(super) fn import(
    entries: &[Entry],
    parameters: &Parameters,
    tensors: &Tensors,
    separator: char,
    ignored: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let prefix = wrapper(entries, tensors, separator, &ignored);
    let named: Vec<String> = entries.iter().map(|entry| format!("{prefix}{}", entry.name)).collect();
    let expected = named.iter().zip(entries).map(|(name, entry)| (name.as_str(), entry.shape.as_slice()));
    tensors.expect_besides(expected, ignored)?;
    let mut values: Vec<Vec<f32>> = parameters.specs().iter().map(|spec| vec![0.0; spec.shape.len()]).collect();
    for (name, entry) in named.iter().zip(entries) {
        let lens: Vec<usize> = entry.sources.iter().map(|source| source.len).collect();
        let parts = entry.layout.decode(tensors.f32(name, &entry.shape)?, &lens);
        for (source, part) in entry.sources.iter().zip(parts) {
            values[source.parameter][source.start..source.start + source.len].copy_from_slice(&part);
        }
    }
    Ok(values)
}

/// What stands before all names of a model that another one holds: "module.", "msa/"; empty where there is nothing.
fn wrapper(entries: &[Entry], tensors: &Tensors, separator: char, ignored: impl Fn(&str) -> bool) -> String {
    let mut prefix = String::new();
    loop {
        let known = entries.iter().any(|entry| tensors.get(&format!("{prefix}{}", entry.name)).is_some());
        let mut names = tensors.iter().map(|(name, _)| name).filter(|name| !ignored(name));
        let first =
            names.next().and_then(|name| name.get(prefix.len()..)?.split_once(separator)).map(|(front, _)| front);
        let Some(first) = first.filter(|_| !known) else { break };
        let longer = format!("{prefix}{first}{separator}");
        if !names.all(|name| name.starts_with(&longer)) {
            break;
        }
        prefix = longer;
    }
    prefix
}

impl Layout {
    fn encode(&self, parts: &[&[f32]]) -> Vec<f32> {
        match self {
            Layout::Rows => parts.concat(),
            Layout::Kernel { shape, swap } => {
                let values = parts.concat();
                match swap {
                    Some(gate) => to_kernel(&swap_gates(&values, *gate), *shape),
                    None => to_kernel(&values, *shape),
                }
            }
            Layout::LstmBias => match parts {
                [input, hidden] => input.iter().zip(*hidden).map(|(a, b)| a + b).collect(),
                _ => parts.concat(),
            },
            Layout::GruBias(gate) => parts.iter().flat_map(|part| swap_gates(part, *gate)).collect(),
        }
    }

    /// The values of each source, whose lengths are `lens`.
    fn decode(&self, values: &[f32], lens: &[usize]) -> Vec<Vec<f32>> {
        let cut = |values: &[f32]| {
            let mut rest = values;
            let mut parts = Vec::with_capacity(lens.len());
            for len in lens {
                let (part, after) = rest.split_at(*len);
                parts.push(part.to_vec());
                rest = after;
            }
            parts
        };
        match self {
            Layout::Rows => cut(values),
            Layout::Kernel { shape, swap } => {
                let values = from_kernel(values, *shape);
                cut(&swap.map_or(values.clone(), |gate| swap_gates(&values, gate)))
            }
            Layout::LstmBias => vec![values.to_vec(), vec![0.0; values.len()]],
            Layout::GruBias(gate) => cut(values).iter().map(|part| swap_gates(part, *gate)).collect(),
        }
    }
}

/// A GRU's gates, `gate` values each: PyTorch's order r, z, n becomes Keras' z, r, h, and back.
fn swap_gates(values: &[f32], gate: usize) -> Vec<f32> {
    let (first, rest) = values.split_at(gate.min(values.len()));
    let (second, rest) = rest.split_at(gate.min(rest.len()));
    [second, first, rest].concat()
}

/// A weight `[out, in, taps..]` as Keras' kernel `[taps.., in, out]`. Of a gradient likewise.
pub fn to_kernel(values: &[f32], shape: Shape) -> Vec<f32> {
    let (outputs, inputs, taps) = matrix(shape);
    let source = |at: usize| (at % outputs * inputs + at / outputs % inputs) * taps + at / (outputs * inputs);
    (0..values.len()).map(|at| values[source(at)]).collect()
}

/// Keras' kernel `[taps.., in, out]` as a weight of `shape`, `[out, in, taps..]`.
pub fn from_kernel(values: &[f32], shape: Shape) -> Vec<f32> {
    let (outputs, inputs, taps) = matrix(shape);
    let source = |at: usize| (at % taps * inputs + at / taps % inputs) * outputs + at / (taps * inputs);
    (0..values.len()).map(|at| values[source(at)]).collect()
}

/// Outputs, inputs and taps; what has fewer axes than two is all taps.
fn matrix(shape: Shape) -> (usize, usize, usize) {
    match shape.axes() {
        [outputs, inputs, taps @ ..] => (*outputs, *inputs, taps.iter().product()),
        _ => (1, 1, shape.len()),
    }
}
