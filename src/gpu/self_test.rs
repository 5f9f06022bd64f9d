//! The self-test of cooperative matrices: products of known halves, repeated, against float64.

use super::{BindingKind, CooperativeMatrices, Gpu, Kernel, KernelKey};
use crate::error::Result;
use half::f16;
use std::time::{Duration, Instant};

const KERNEL: &str = "matmul_cooperative";

/// How often each product is repeated.
const REPEATS: usize = 50;

impl CooperativeMatrices {
    /// Multiplies a few shapes many times over on `gpu`.
    ///
    /// # Errors
    /// What was wrong with the products, or what the driver says.
    pub(super) fn self_test(&self, gpu: &Gpu) -> Result<Duration, String> {
        let start = Instant::now();
        for trial in self.trials() {
            let key = KernelKey::new(KERNEL, &self.constants(trial.tiles, trial.transposed));
            let kernel = Kernel::compile(gpu, &key).map_err(|error| error.to_string())?;
            trial.judge(&trial.run(gpu, &kernel).map_err(|error| error.to_string())?)?;
        }
        Ok(start.elapsed())
    }

    /// Every variant of the kernel, with blocks that overhang, several products and pieces of k.
    fn trials(&self) -> [Trial; 6] {
        let trial = |tiles, transposed, [m, n, k]: [u32; 3], batch, splits| {
            let [m, n, k] = [m, n, k].map(|matrices| matrices * self.tile);
            let groups = m.div_ceil(self.block(tiles)) * n.div_ceil(self.block(tiles)) * batch * splits;
            Trial { tiles, transposed, m, n, k, batch, splits, groups }
        };
        [
            trial(4, [false, true], [9, 8, 4], 1, 1),
            trial(4, [true, false], [8, 11, 3], 1, 1),
            trial(4, [false, false], [4, 9, 2], 2, 1),
            trial(2, [false, true], [3, 6, 5], 1, 1),
            trial(2, [false, false], [5, 3, 6], 2, 2),
            trial(2, [true, false], [4, 4, 16], 1, 2),
        ]
    }
}

/// A product of the self-test: `batch` of [m, k] by [k, n], k in `splits` equal pieces.
#[derive(Debug, Clone, Copy)]
struct Trial {
    tiles: u32,
    /// Whether A and B are stored as their transposes.
    transposed: [bool; 2],
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    splits: u32,
    groups: u32,
}

impl Trial {
    fn dims(&self) -> [(&'static str, u32); 10] {
        [
            ("m", self.m),
            ("n", self.n),
            ("k", self.k),
            ("batch", self.batch),
            ("lda", if self.transposed[0] { self.m } else { self.k }),
            ("ldb", if self.transposed[1] { self.k } else { self.n }),
            ("a_stride", self.m * self.k),
            ("b_stride", self.k * self.n),
            ("splits", self.splits),
            ("k_per_split", self.k / self.splits),
        ]
    }

    /// Elements of a repeat's result.
    fn len(&self) -> usize {
        (self.splits * self.batch * self.m * self.n) as usize
    }

    /// A and B: halves from -0.5 to 1.5, so that sums grow with k and 16 bits are too few for them.
    fn operands(&self) -> [Vec<f16>; 2] {
        let mut state = 0x2545_f491_u32;
        let mut next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f16::from_f32((state >> 16) as f32 / 32768.0 - 0.5)
        };
        let of = |elements: u32| 0..self.batch * elements;
        [of(self.m * self.k).map(&mut next).collect(), of(self.k * self.n).map(&mut next).collect()]
    }

    /// The results of all repeats, one after another.
    fn run(&self, gpu: &Gpu, kernel: &Kernel) -> Result<Vec<f32>> {
        const DURING: &str = "testing cooperative matrices";
        let bytes = self.len() as u64 * 4;
        let results = gpu.guarded(DURING, || {
            let [a, b] = self.operands().map(|operand| filled(gpu, bytemuck::cast_slice(&operand)));
            let results = gpu.storage("products", bytes * REPEATS as u64);
            let dims = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("dims"),
                size: 256,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            gpu.queue().write_buffer(&dims, 0, &uniforms(kernel, &self.dims()));
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&kernel.pipeline);
            for repeat in 0..REPEATS as u64 {
                let products = wgpu::BufferBinding {
                    buffer: &results,
                    offset: repeat * bytes,
                    size: std::num::NonZeroU64::new(bytes),
                };
                pass.set_bind_group(0, &bind(gpu, kernel, [&a, &b], products, &dims), &[]);
                pass.dispatch_workgroups(self.groups, 1, 1);
            }
            drop(pass);
            gpu.queue().submit([encoder.finish()]);
            results
        })?;
        let (bytes, _) = gpu.read(&results, 0, bytes * REPEATS as u64)?.wait()?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Whether `results`, of all repeats, are the same bits, and close enough to the products in f64.
    ///
    /// A product of two halves is exact in 32 bits. Each of the additions rounds, or cuts off, less than 2^-23 of a partial sum, which
    /// is at most the sum of magnitudes; hardware that adds several products at once may lose as much again in aligning them. Sums
    /// kept in 16 bits are off by 2^-11 and more.
    fn judge(&self, results: &[f32]) -> Result<(), String> {
        let what = format!("the product of {self:?}");
        let (first, others) = results.split_at_checked(self.len()).ok_or_else(|| format!("{what} is incomplete"))?;
        if others.len() != self.len() * (REPEATS - 1) {
            return Err(format!("{what} is incomplete"));
        }
        let differ = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
        if let Some(repeat) = others.chunks(self.len()).position(|other| first.iter().zip(other).any(differ)) {
            return Err(format!("{what} was another at repeat {}", repeat + 2));
        }
        for (index, ((exact, magnitude), value)) in self.exact().into_iter().zip(first).enumerate() {
            let tolerance = 2.0 * f64::from(self.k / self.splits) * f64::from(f32::EPSILON) * magnitude;
            let error = (f64::from(*value) - exact).abs();
            // NaN is not within it either
            if !error.le(&tolerance) {
                return Err(format!("{what} is {value} at {index}, not {exact} within {tolerance:.1e}"));
            }
        }
        Ok(())
    }

    /// Every element in f64, and its sum of magnitudes.
    fn exact(&self) -> Vec<(f64, f64)> {
        let [a, b] = self.operands();
        let [m, n, k] = [self.m, self.n, self.k].map(|size| size as usize);
        let piece = k / self.splits as usize;
        let element = |index: usize| {
            let (column, row, layer) = (index % n, index / n % m, index / n / m);
            let (batch, split) = (layer % self.batch as usize, layer / self.batch as usize);
            let term = |depth: usize| {
                let in_a = if self.transposed[0] { depth * m + row } else { row * k + depth };
                let in_b = if self.transposed[1] { column * k + depth } else { depth * n + column };
                a[batch * m * k + in_a].to_f64() * b[batch * k * n + in_b].to_f64()
            };
            let terms = (split * piece..(split + 1) * piece).map(term);
            terms.fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()))
        };
        (0..self.len()).map(element).collect()
    }
}

/// The kernel's bind group, in the order of its declarations.
fn bind(
    gpu: &Gpu,
    kernel: &Kernel,
    [a, b]: [&wgpu::Buffer; 2],
    products: wgpu::BufferBinding<'_>,
    dims: &wgpu::Buffer,
) -> wgpu::BindGroup {
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(KERNEL),
        layout: &kernel.layout,
        entries: &[
            entry(0, a.as_entire_binding()),
            entry(1, b.as_entire_binding()),
            entry(2, wgpu::BindingResource::Buffer(products)),
            entry(3, dims.as_entire_binding()),
        ],
    })
}

/// A storage buffer that holds `bytes`.
fn filled(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = gpu.storage("operand", bytes.len() as u64);
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// The kernel's block `dims`, as it has its members.
fn uniforms(kernel: &Kernel, dims: &[(&str, u32)]) -> [u8; 256] {
    let mut bytes = [0; 256];
    if let Some(BindingKind::Uniform { fields }) = kernel.reflection.binding("dims").map(|binding| &binding.kind) {
        for field in fields {
            let value = dims.iter().find(|(name, _)| *name == field.name).map_or(0, |(_, value)| *value);
            bytes[field.offset as usize..][..4].copy_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel with the same buffers that needs no feature: halves are unpacked from words.
    const STAND_IN: &str = "
struct Sizes { m: u32, n: u32, k: u32, batch: u32, lda: u32, ldb: u32, a_stride: u32, b_stride: u32, splits: u32, k_per_split: u32 }
@group(0) @binding(0) var<storage, read> a: array<u32>; // @buffer
@group(0) @binding(1) var<storage, read> b: array<u32>; // @buffer
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> dims: Sizes;

fn left(i: u32) -> f32 { return unpack2x16float(a[i >> 1u])[i & 1u]; }
fn right(i: u32) -> f32 { return unpack2x16float(b[i >> 1u])[i & 1u]; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var i = group.x * 64u + lane; i < dims.splits * dims.batch * dims.m * dims.n; i += groups.x * 64u) {
        let column = i % dims.n;
        let row = i / dims.n % dims.m;
        let layer = i / dims.n / dims.m;
        let first = layer / dims.batch * dims.k_per_split;
        var sum = 0.0;
        for (var depth = first; depth < first + dims.k_per_split; depth++) {
            let in_a = select(row * dims.lda + depth, depth * dims.lda + row, A_TRANSPOSED);
            let in_b = select(depth * dims.ldb + column, column * dims.ldb + depth, B_TRANSPOSED);
            sum += left(layer % dims.batch * dims.a_stride + in_a) * right(layer % dims.batch * dims.b_stride + in_b);
        }
        partials[i] = sum;
    }
}
";

    fn trials() -> [Trial; 6] {
        CooperativeMatrices { tile: 8, lanes: 8 }.trials()
    }

    /// What the self-test says of the stand-in after `change`.
    fn verdict(change: impl Fn(String) -> String) -> Result<(), String> {
        let gpu = Gpu::new().unwrap();
        trials().iter().try_for_each(|trial| {
            let [a, b] = trial.transposed;
            let constants = format!("const A_TRANSPOSED = {a};\nconst B_TRANSPOSED = {b};\n");
            let key = KernelKey::new(KERNEL, &[]);
            let kernel = Kernel::from_wgsl(&gpu, &key, &(constants + &change(STAND_IN.to_string()))).unwrap();
            trial.judge(&trial.run(&gpu, &kernel).unwrap())
        })
    }

    #[test]
    fn a_right_kernel_passes_and_broken_ones_are_refused() {
        assert_eq!(verdict(|wgsl| wgsl), Ok(()));
        let broken = |from: &str, to: &str| {
            let changed = |wgsl: String| {
                assert!(wgsl.contains(from));
                wgsl.replace(from, to)
            };
            verdict(changed).unwrap_err()
        };
        // one term is left out, a matrix of the batch is taken for another, sums are kept in 16 bits
        assert!(broken("depth = first;", "depth = first + 1u;").contains("within"));
        assert!(broken("layer % dims.batch * dims.a_stride", "0u").contains("within"));
        let in_halves = "sum = unpack2x16float(pack2x16float(vec2<f32>(sum, 0.0))).x; }\n        partials";
        assert!(broken("}\n        partials", in_halves).contains("within"));
        // elements of exactly twice their value, as a race once left them
        assert!(broken("partials[i] = sum", "partials[i] = select(sum, 2.0 * sum, row == 3u)").contains("within"));
    }

    /// The results of a perfect device.
    fn perfect(trial: &Trial) -> Vec<f32> {
        let once: Vec<f32> = trial.exact().into_iter().map(|(sum, _)| sum as f32).collect();
        once.repeat(REPEATS)
    }

    #[test]
    fn results_that_differ_by_a_bit_are_refused() {
        for trial in trials() {
            let results = perfect(&trial);
            assert_eq!(trial.judge(&results), Ok(()));
            let changed = |at: usize, value: f32| {
                let mut results = results.clone();
                results[at] = value;
                trial.judge(&results).unwrap_err()
            };
            let last = results.len() - 1;
            assert!(changed(last, results[last].next_up()).contains("repeat 50"));
            assert!(changed(0, results[0].next_up()).contains("repeat 2"));
            assert!(trial.judge(&results[..last]).unwrap_err().contains("incomplete"));
            let everywhere = |value: f32| {
                let mut once = results[..trial.len()].to_vec();
                once[1] = value;
                trial.judge(&once.repeat(REPEATS)).unwrap_err()
            };
            assert!(everywhere(2.0 * results[1]).contains("within"));
            assert!(everywhere(f32::NAN).contains("within"));
        }
    }
}
