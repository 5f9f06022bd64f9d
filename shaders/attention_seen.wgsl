// seen[sample, key] = 1 if any valid query of the sample sees the key: what attention on cooperative matrices may multiply with, where
// attention_mask.wgsl packed what each query sees. Any other key may hold anything.
//
// mask [batch, query_len, words], mask_batch_stride apart or shared; query_mask u32 [batch, query_len] if has_query_mask; seen u32
// [batch, key_len]. Overwrites seen.
// Dispatch: batch * words workgroups, folded over x and y. Workgroup: 64 for a word of a sample, its queries spread over them.

struct Dims {
    batch: u32,
    query_len: u32,
    key_len: u32,
    mask_batch_stride: u32,
    has_query_mask: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> query_mask: array<u32>;
@group(0) @binding(3) var<storage, read_write> seen: array<u32>;

var<workgroup> bits: atomic<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let words = (dims.key_len + 31u) / 32u;
    let linear = group.x + group.y * groups.x;
    let sample = linear / words;
    if (sample >= dims.batch) { return; }
    let word = linear - sample * words;
    var own = 0u;
    for (var query = thread; query < dims.query_len; query += 64u) {
        var valid = true;
        if (dims.has_query_mask != 0u) { valid = query_mask[sample * dims.query_len + query] != 0u; }
        if (valid) { own |= mask[sample * dims.mask_batch_stride + query * words + word]; }
    }
    if (thread == 0u) { atomicStore(&bits, 0u); }
    workgroupBarrier();
    atomicOr(&bits, own);
    workgroupBarrier();
    let key = word * 32u + thread;
    if (thread < 32u && key < dims.key_len) {
        seen[sample * dims.key_len + key] = (atomicLoad(&bits) >> thread) & 1u;
    }
}
