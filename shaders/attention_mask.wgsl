// Packs what hides keys from queries into bits for the attention kernels with PAIR: bit j % 32 of word j / 32 of a query's row
// is 1 if query i sees key j: key_mask[sample, j] and pair_mask[sample, i, j] and, if causal, j <= i.
//
// key_mask u32 [samples, key_len] if has_key_mask; pair_mask u32 [query_len, key_len], pair_batch_stride apart for each sample,
// if has_pair_mask; bits [samples, query_len, ceil(key_len / 32)]. Overwrites bits.
// Dispatch: ceil(samples * query_len * words / 64) workgroups, folded over x and y. Workgroup: 64, a thread per word.

struct Dims {
    samples: u32,
    query_len: u32,
    key_len: u32,
    has_key_mask: u32,
    has_pair_mask: u32,
    causal: u32,
    pair_batch_stride: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> key_mask: array<u32>;
@group(0) @binding(2) var<storage, read> pair_mask: array<u32>;
@group(0) @binding(3) var<storage, read_write> bits: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let words = (dims.key_len + 31u) / 32u;
    let at = (group.x + group.y * groups.x) * 64u + thread;
    if (at >= dims.samples * dims.query_len * words) { return; }
    let row = at / words;
    let key0 = (at - row * words) * 32u;
    let sample = row / dims.query_len;
    let query = row - sample * dims.query_len;
    var packed = 0u;
    for (var bit = 0u; bit < min(32u, dims.key_len - key0); bit++) {
        let key = key0 + bit;
        var sees = dims.causal == 0u || key <= query;
        if (dims.has_key_mask != 0u) { sees = sees && key_mask[sample * dims.key_len + key] != 0u; }
        if (dims.has_pair_mask != 0u) {
            sees = sees && pair_mask[sample * dims.pair_batch_stride + query * dims.key_len + key] != 0u;
        }
        packed |= select(0u, 1u << bit, sees);
    }
    bits[at] = packed;
}
