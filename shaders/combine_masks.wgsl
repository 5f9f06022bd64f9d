// out[batch, query, key] = padding[batch, key] and pair[batch, query, key]; `pair_step` is queries * keys, or 0 where one pair
// mask serves the whole batch.
//
// Dispatch: one invocation per element. Overwrites `out`.

struct Dims { len: u32, queries: u32, keys: u32, pair_step: u32 }

@group(0) @binding(0) var<storage, read> padding: array<u32>;
@group(0) @binding(1) var<storage, read> pair: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let of_sample = dims.queries * dims.keys;
    let sample = i / of_sample;
    let both = padding[sample * dims.keys + i % dims.keys] != 0u && pair[sample * dims.pair_step + i % of_sample] != 0u;
    out[i] = select(0u, 1u, both);
}
