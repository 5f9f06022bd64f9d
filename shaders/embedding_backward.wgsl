// dtable[id, c] = sum over t of dy[t, c] where ids[t] = id, in the order of t: the gradient of embedding, for the ids that occur.
// With VECTOR c counts fours. `links` are embedding_links.wgsl's chains of equal ids.
//
// Dispatch: one workgroup per token and 64 columns. The first token of each id adds up the rows of its chain, so no two workgroups
// write one row; ids out of range are passed over. Writes only rows that occur: the rest of `dtable` is zeroed before.

// @if VECTOR
alias Element = vec4<f32>;
// @end
// @if !VECTOR
alias Element = f32;
// @end

struct Dims { tokens: u32, columns: u32, rows: u32 }

@group(0) @binding(0) var<storage, read> dy: array<Element>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> links: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> dtable: array<Element>;
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    let column = index / dims.tokens * 64u + lane;
    var token = index % dims.tokens;
    let id = ids[token];
    if (links[token].x == 0u || id >= dims.rows || column >= dims.columns) {
        return;
    }
    // stretch by stretch, so that no sum is one long chain
    var total = Element(0.0);
    while (token < dims.tokens) {
        var stretch = Element(0.0);
        for (var count = 0u; count < 64u && token < dims.tokens; count++) {
            stretch += dy[token * dims.columns + column];
            token = links[token].y;
        }
        total += stretch;
    }
    dtable[id * dims.columns + column] = total;
}
