//! The GPU memory of a model's parameters: a few flat buffers, so that one dispatch updates them all. Values, gradients
//! and optimiser state share one layout.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::{Parameters, Shape, check_values};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Parameters start at multiples of this many values: 256 bytes, the portable binding alignment.
const ALIGN: usize = 64;
/// A chunk holds at most this many values: 128 MiB, the portable binding size.
const MOST: usize = 32 << 20;

/// Where a parameter lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which of the store's buffers.
    pub chunk: usize,
    /// First value, in the chunk.
    pub offset: usize,
    /// Number of values.
    pub len: usize,
}

/// One flat buffer's worth of parameters. Those of one branch of the model (`fusion`, `head`) share a chunk, so that the gradients of
/// different branches are written to different buffers and need no barrier between them. Branches of one shape (`text_encoder`,
/// `audio_encoder`) share one where their siblings run as one launch.
#[derive(Debug)]
pub struct Chunk {
    /// Number of values, alignment included.
    pub len: usize,
    /// The values, as f32.
    pub values: wgpu::Buffer,
    gradients: OnceLock<wgpu::Buffer>,
    label: String,
}

/// A model's parameters on a GPU. Clones share the memory: a training plan and a scoring plan over one store see the same
/// weights.
#[derive(Debug, Clone)]
pub struct ParameterStore {
    gpu: Gpu,
    parameters: Arc<Parameters>,
    places: Arc<Vec<Place>>,
    chunks: Arc<Vec<Chunk>>,
}

impl ParameterStore {
    /// Allocates and fills the values, one vector per parameter.
    pub fn new(gpu: &Gpu, parameters: &Parameters, values: &[Vec<f32>]) -> Result<Self> {
        check_values(parameters, values)?;
        let largest = parameters.specs().iter().map(|spec| spec.shape.len()).max().unwrap_or(0);
        if largest > MOST {
            let message = format!("has {largest} values, more than one buffer binding holds ({MOST}): split it");
            return Err(Error::Tensor { name: "the largest parameter".to_string(), message });
        }
        let (places, lengths) = lay_out(parameters, gpu.capabilities().groups);
        let chunks = gpu.guarded("allocating parameters", || {
            let chunk = |(label, len): &(String, usize)| Chunk {
                len: *len,
                values: gpu.storage(&format!("{label} values"), *len as u64 * 4),
                gradients: OnceLock::new(),
                label: label.clone(),
            };
            lengths.iter().map(chunk).collect::<Vec<_>>()
        })?;
        let store = ParameterStore {
            gpu: gpu.clone(),
            parameters: Arc::new(parameters.clone()),
            places: Arc::new(places),
            chunks: Arc::new(chunks),
        };
        store.upload(values)?;
        Ok(store)
    }

    /// The device that holds them.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Names and shapes.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where the parameter with that index lies.
    pub fn place(&self, parameter: usize) -> Place {
        self.places[parameter]
    }

    /// The buffers, in the order that [`Place::chunk`] counts.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunk's gradients, allocated on first use. Where that fails the next use tries again.
    pub fn gradients(&self, chunk: usize) -> Result<&wgpu::Buffer> {
        let chunk = &self.chunks[chunk];
        if let Some(gradients) = chunk.gradients.get() {
            return Ok(gradients);
        }
        let label = format!("{} gradients", chunk.label);
        let made = self.gpu.guarded("allocating gradients", || self.gpu.storage(&label, chunk.len as u64 * 4))?;
        Ok(chunk.gradients.get_or_init(|| made))
    }

    /// Bytes of the values, alignment included.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len as u64 * 4).sum()
    }

    /// Overwrites all values.
    pub fn upload(&self, values: &[Vec<f32>]) -> Result<()> {
        check_values(&self.parameters, values)?;
        for (chunk, flat) in self.flatten(values).iter().enumerate() {
            self.write(&self.chunks[chunk].values, flat)?;
        }
        Ok(())
    }

    /// Fills `buffer`, and has the driver take it: otherwise copies of all that is written would pile up until the next submission.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, values: &[f32]) -> Result<()> {
        self.gpu.guarded("uploading parameters", || {
            self.gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(values));
            self.gpu.queue().submit([]);
        })?;
        self.gpu.poll()
    }

    /// Reads all values back, one vector per parameter. Blocks.
    pub fn download(&self) -> Result<Vec<Vec<f32>>> {
        let buffers: Vec<Option<&wgpu::Buffer>> = self.chunks.iter().map(|chunk| Some(&chunk.values)).collect();
        self.download_from(&buffers)
    }

    /// Reads the gradients back that a plan left, one vector per parameter; zeros where none computes them. Blocks.
    pub fn download_gradients(&self) -> Result<Vec<Vec<f32>>> {
        let buffers: Vec<Option<&wgpu::Buffer>> = self.chunks.iter().map(|chunk| chunk.gradients.get()).collect();
        self.download_from(&buffers)
    }

    /// Reads buffers of the store's layout (one per chunk) back, one vector per parameter; zeros where there is none. Blocks.
    pub(crate) fn download_from(&self, buffers: &[Option<&wgpu::Buffer>]) -> Result<Vec<Vec<f32>>> {
        let mut flats = Vec::with_capacity(buffers.len());
        for (buffer, chunk) in buffers.iter().zip(self.chunks.iter()) {
            flats.push(match buffer {
                Some(buffer) => {
                    let (bytes, _) = self.gpu.read(buffer, 0, chunk.len as u64 * 4)?.wait()?;
                    bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)
                }
                None => vec![0.0; chunk.len],
            });
        }
        let value = |place: &Place| flats[place.chunk][place.offset..place.offset + place.len].to_vec();
        Ok(self.places.iter().map(value).collect())
    }

    /// One flat vector per chunk, in the store's layout.
    pub fn flatten(&self, values: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut flats: Vec<Vec<f32>> = self.chunks.iter().map(|chunk| vec![0.0; chunk.len]).collect();
        for (place, value) in self.places.iter().zip(values) {
            flats[place.chunk][place.offset..place.offset + place.len].copy_from_slice(value);
        }
        flats
    }
}

/// Places and chunk lengths: a chunk per branch and trainability, more where one would outgrow a binding. Where siblings run as one
/// launch, branches of one shape share a chunk, parameters of one name and shape side by side.
fn lay_out(parameters: &Parameters, grouped: bool) -> (Vec<Place>, Vec<(String, usize)>) {
    let specs = parameters.specs();
    let mut branches: HashMap<&str, &str> = HashMap::new();
    let mut families: HashMap<(&str, &Shape, bool), usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let (branch, rest) = spec.name.split_once('.').unwrap_or((&spec.name, ""));
        let first = *families.entry((rest, &spec.shape, spec.trainable)).or_insert(index);
        let sibling = specs[first].name.split('.').next().unwrap_or_default();
        let shared = branches.get(sibling).copied().filter(|_| grouped && sibling != branch);
        match shared {
            Some(shared) => branches.insert(branch, shared),
            None => Some(*branches.entry(branch).or_insert(branch)),
        };
        order.push((if grouped { first } else { index }, index));
    }
    order.sort_unstable();
    let mut chunks: Vec<(String, usize)> = Vec::new();
    let mut places = vec![Place { chunk: 0, offset: 0, len: 0 }; specs.len()];
    for (_, index) in order {
        let spec = &specs[index];
        let branch = spec.name.split('.').next().map_or("", |branch| branches[branch]);
        let label = if spec.trainable { branch.to_string() } else { format!("{branch} (frozen)") };
        let len = spec.shape.len();
        let room = |(name, used): &(String, usize)| *name == label && used + len <= MOST;
        let chunk = chunks.iter().position(room).unwrap_or_else(|| {
            chunks.push((label, 0));
            chunks.len() - 1
        });
        places[index] = Place { chunk, offset: chunks[chunk].1, len };
        chunks[chunk].1 += len.next_multiple_of(ALIGN);
    }
    (places, chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Init;

    #[test]
    fn branches_of_one_shape_lie_side_by_side_where_siblings_run_as_one() {
        let mut parameters = Parameters::new();
        for (branch, inputs) in [("text", 8), ("audio", 5)] {
            let mut root = parameters.root();
            let mut path = root.at(branch);
            path.parameter("projection", [4, inputs], Init::Zeros);
            path.parameter("bias", [4], Init::Zeros);
        }
        parameters.root().at("head").parameter("weight", [3], Init::Zeros);
        let place = |chunk, offset, len| Place { chunk, offset, len };
        let (apart, chunks) = lay_out(&parameters, false);
        assert_eq!(apart, [place(0, 0, 32), place(0, 64, 4), place(1, 0, 20), place(1, 64, 4), place(2, 0, 3)]);
        assert_eq!(chunks.len(), 3);
        let (together, chunks) = lay_out(&parameters, true);
        assert_eq!(together, [place(0, 0, 32), place(0, 64, 4), place(0, 192, 20), place(0, 128, 4), place(1, 0, 3)]);
        assert_eq!(chunks.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [256, 64]);
    }
}
