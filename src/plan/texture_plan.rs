//! Which texture holds a copy of which operand, on devices whose kernels read through textures (`gpu/textures.rs`).
//!
//! A few textures serve all dispatches in turn. Each is filled before a dispatch that reads it, unless it still holds what that
//! dispatch wants: what an earlier one read, and none wrote since. Copies end a compute pass, so those of several dispatches are
//! made together where they can be.

use super::lower::{Dispatch, Operand};
use super::program::Location;
use crate::error::Result;
use crate::gpu::{Gpu, KernelKey, TEXEL, TextureReads, extent};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Textures of one size class. More would be filled less often, but take more memory.
const MOST: usize = 8;

/// A binding that a dispatch reads through a texture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextureRead {
    /// The shader's variable.
    pub binding: String,
    /// Which of the textures.
    pub texture: usize,
    /// The dispatch before which it must be filled, this one or an earlier, unless it is full already.
    pub filled_before: Option<usize>,
}

/// The textures of a program, on paper.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TexturePlan {
    /// Bytes that each texture must hold.
    pub bytes: Vec<u64>,
    /// For each dispatch what it reads through which; empty where nothing is read so.
    pub reads: Vec<Vec<TextureRead>>,
}

impl TexturePlan {
    /// Decides for `dispatches`, in order; `locate` says whose bytes an operand is.
    pub fn new<B: PartialEq + Clone>(
        gpu: &Gpu,
        dispatches: &[Dispatch],
        locate: impl Fn(&Operand) -> Option<Location<B>>,
    ) -> Result<Self> {
        let Some(through) = gpu.capabilities().texture_reads else {
            return Ok(TexturePlan { bytes: Vec::new(), reads: vec![Vec::new(); dispatches.len()] });
        };
        let mut kernels: HashMap<&KernelKey, Arrays> = HashMap::new();
        let mut textures = Textures::default();
        let mut pass = Pass::default();
        let mut reads = Vec::with_capacity(dispatches.len());
        for (index, dispatch) in dispatches.iter().enumerate() {
            let arrays = match kernels.entry(&dispatch.kernel) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Arrays::of(&dispatch.kernel, &through)?),
            };
            let locations = |names: &[String]| -> Vec<(String, Location<B>)> {
                let bound = dispatch.bindings.iter().filter(|(name, _)| names.iter().any(|other| other == name));
                bound.filter_map(|(name, operand)| Some((name.to_string(), locate(operand)?))).collect()
            };
            let (wanted, written) = (locations(&arrays.read), locations(&arrays.written));
            reads.push(pass.join(index, textures.serve(wanted), written));
            textures.forget(&locations(&arrays.written));
        }
        Ok(TexturePlan { bytes: textures.bytes, reads })
    }

    /// Bytes that the textures take on `gpu`.
    pub fn allocated(&self, gpu: &Gpu) -> u64 {
        let Some(TextureReads { row, .. }) = gpu.capabilities().texture_reads else { return 0 };
        let texels = |bytes: &u64| {
            let size = extent(*bytes, row);
            u64::from(size.width) * u64::from(size.height)
        };
        self.bytes.iter().map(texels).sum::<u64>() * TEXEL
    }
}

/// Names of a kernel's arrays by what it does with them.
struct Arrays {
    read: Vec<String>,
    written: Vec<String>,
}

impl Arrays {
    fn of(key: &KernelKey, through: &TextureReads) -> Result<Self> {
        let wgsl = key.wgsl()?;
        let written = |line: &str| Some(line.split_once("var<storage, read_write> ")?.1.split(':').next()?.to_string());
        Ok(Arrays { read: through.names(&wgsl), written: wgsl.lines().filter_map(written).collect() })
    }
}

/// What a texture holds.
struct Held<B> {
    texture: usize,
    /// Textures of one class differ little in size, so that few bytes do not take the place of many.
    class: u32,
    content: Option<Location<B>>,
}

/// A dispatch's binding, the texture for it, and the bytes to be copied into that if they are not there.
type Served<B> = (String, usize, Option<Location<B>>);

/// What the textures hold while the dispatches are gone through; the longest unused comes first.
struct Textures<B> {
    held: Vec<Held<B>>,
    bytes: Vec<u64>,
}

impl<B> Default for Textures<B> {
    fn default() -> Self {
        Textures { held: Vec::new(), bytes: Vec::new() }
    }
}

impl<B: PartialEq + Clone> Textures<B> {
    /// Finds a texture for each of a dispatch's reads.
    fn serve(&mut self, wanted: Vec<(String, Location<B>)>) -> Vec<Served<B>> {
        // what is there already must not be overwritten for the sake of the others
        let (there, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(_, location)| self.find(location).is_some());
        let mut served: Vec<Served<B>> = Vec::new();
        for (binding, location) in there.into_iter().chain(missing) {
            let found = self.find(&location);
            let place = found.unwrap_or_else(|| {
                let taken: Vec<usize> = served.iter().map(|(_, texture, _)| *texture).collect();
                self.place_for(location.size, &taken)
            });
            let mut held = self.held.remove(place);
            self.bytes[held.texture] = self.bytes[held.texture].max(location.size);
            held.content = Some(location.clone());
            served.push((binding, held.texture, found.is_none().then_some(location)));
            self.held.push(held);
        }
        served
    }

    fn find(&self, location: &Location<B>) -> Option<usize> {
        self.held.iter().position(|held| held.content.as_ref() == Some(location))
    }

    /// The place in `held` of a texture that may be overwritten: the longest unused, if there are enough.
    fn place_for(&mut self, bytes: u64, taken: &[usize]) -> usize {
        let class = bytes.max(1).ilog2() / 2;
        let mates = self.held.iter().filter(|held| held.class == class).count();
        let free = self.held.iter().position(|held| held.class == class && !taken.contains(&held.texture));
        free.filter(|_| mates >= MOST).unwrap_or_else(|| {
            self.bytes.push(0);
            self.held.push(Held { texture: self.bytes.len() - 1, class, content: None });
            self.held.len() - 1
        })
    }

    /// Whatever overlaps what was written is a copy no more.
    fn forget(&mut self, written: &[(String, Location<B>)]) {
        for held in &mut self.held {
            if held.content.as_ref().is_some_and(|content| written.iter().any(|(_, at)| at.overlaps(content))) {
                held.content = None;
            }
        }
    }
}

/// Dispatches in a row, before the first of which the copies for all of them are made.
struct Pass<B> {
    first: usize,
    read: Vec<usize>,
    written: Vec<Location<B>>,
}

impl<B> Default for Pass<B> {
    fn default() -> Self {
        Pass { first: 0, read: Vec::new(), written: Vec::new() }
    }
}

impl<B: PartialEq> Pass<B> {
    /// Adds dispatch `index`, or begins another pass with it where one of its copies would come too early before the first: into a
    /// texture that others still read, or of bytes that others are yet to write.
    fn join(&mut self, index: usize, served: Vec<Served<B>>, written: Vec<(String, Location<B>)>) -> Vec<TextureRead> {
        let too_early = |(_, texture, copy): &Served<B>| {
            let source = |copy: &Location<B>| self.written.iter().any(|at| at.overlaps(copy));
            copy.as_ref().is_some_and(|copy| self.read.contains(texture) || source(copy))
        };
        if served.iter().any(too_early) {
            *self = Pass { first: index, ..Pass::default() };
        }
        self.read.extend(served.iter().map(|(_, texture, _)| *texture));
        self.written.extend(written.into_iter().map(|(_, location)| location));
        let read = |(binding, texture, copy): Served<B>| TextureRead {
            binding,
            texture,
            filled_before: copy.is_some().then_some(self.first),
        };
        served.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(buffer: char, offset: u64, size: u64) -> (String, Location<char>) {
        (buffer.to_string(), Location { buffer, offset, size })
    }

    /// Textures that serve `wanted`, and whether they are filled for it.
    fn served(textures: &mut Textures<char>, wanted: &[(String, Location<char>)]) -> Vec<(usize, bool)> {
        let mut served = textures.serve(wanted.to_vec());
        served.sort_by_key(|(binding, ..)| wanted.iter().position(|(name, _)| name == binding));
        served.iter().map(|(_, texture, copy)| (*texture, copy.is_some())).collect()
    }

    #[test]
    fn a_copy_serves_until_its_source_is_written() {
        let mut textures = Textures::default();
        let (a, b) = (bytes('a', 0, 64), bytes('b', 0, 96));
        assert_eq!(served(&mut textures, &[a.clone(), b.clone()]), [(0, true), (1, true)]);
        assert_eq!(served(&mut textures, &[b.clone(), a.clone()]), [(1, false), (0, false)]);
        textures.forget(&[bytes('b', 90, 8)]);
        assert_eq!(served(&mut textures, &[a.clone(), b.clone()]), [(0, false), (2, true)]);
        textures.forget(&[bytes('a', 64, 8), bytes('c', 0, 64)]);
        assert_eq!(served(&mut textures, &[a]), [(0, false)]);
        assert_eq!(textures.bytes, [64, 96, 96]);
    }

    #[test]
    fn other_bytes_of_a_buffer_are_another_copy() {
        let mut textures = Textures::default();
        let parts = [("x".to_string(), bytes('a', 0, 64).1), ("y".to_string(), bytes('a', 64, 64).1)];
        assert_eq!(served(&mut textures, &parts), [(0, true), (1, true)]);
    }

    #[test]
    fn a_dispatch_never_overwrites_what_it_reads_itself() {
        let mut textures = Textures::default();
        let large = |buffer: char| bytes(buffer, 0, 4096);
        let operands: Vec<_> = ('a'..).take(MOST).map(large).collect();
        served(&mut textures, &operands);
        // Z takes the place of b, the longest unused: not that of a, which is wanted too
        assert_eq!(served(&mut textures, &[large('Z'), large('a')]), [(1, true), (0, false)]);
        // small operands have textures of their own
        assert_eq!(served(&mut textures, &[bytes('S', 0, 64)]), [(MOST, true)]);
        // all of a dispatch's operands have a place, however many there are
        let many: Vec<_> = ('A'..).take(MOST + 2).map(large).collect();
        let mut taken: Vec<usize> = served(&mut textures, &many).iter().map(|(texture, _)| *texture).collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), many.len());
    }

    #[test]
    fn copies_are_made_together_unless_one_would_come_too_early() {
        let mut pass = Pass::default();
        let mut filled = |index, texture, from: (String, Location<char>), into: (String, Location<char>)| {
            let reads = pass.join(index, vec![("x".to_string(), texture, Some(from.1))], vec![into]);
            reads[0].filled_before
        };
        assert_eq!(filled(0, 0, bytes('a', 0, 16), bytes('b', 0, 16)), Some(0));
        assert_eq!(filled(1, 1, bytes('a', 0, 16), bytes('c', 0, 16)), Some(0));
        assert_eq!(filled(2, 2, bytes('c', 0, 16), bytes('d', 0, 16)), Some(2), "c was written by dispatch 1");
        assert_eq!(filled(3, 1, bytes('b', 0, 16), bytes('e', 0, 16)), Some(2), "nobody in this pass reads texture 1");
        assert_eq!(filled(4, 2, bytes('a', 0, 16), bytes('f', 0, 16)), Some(4), "dispatch 2 reads texture 2");
    }
}
