// dtable[id, c] = sum over t of dy[t, c] where ids[t] = id, in the order of t: the gradient of embedding, for the ids that occur.
// With VECTOR c counts fours.
//
// Dispatch: one workgroup per token and 64 columns. The first token of each id adds up the rows of all that follow, so no two
// workgroups write one row; ids out of range are passed over. Writes only rows that occur: the rest of `dtable` is zeroed before.

// @if VECTOR
alias Element = vec4<f32>;
// @end
// @if !VECTOR
alias Element = f32;
// @end

struct Dims { tokens: u32, columns: u32, rows: u32 }

@group(0) @binding(0) var<storage, read> dy: array<Element>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> dtable: array<Element>;
@group(0) @binding(3) var<uniform> dims: Dims;

var<workgroup> earlier: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    let token = index % dims.tokens;
    let column = index / dims.tokens * 64u + lane;
    let id = ids[token];
    // whether any token before this one has its id
    var seen = 0u;
    for (var other = lane; other < token; other += 64u) {
        seen |= u32(ids[other] == id);
    }
    earlier[lane] = seen;
    workgroupBarrier();
    for (var other = 0u; other < 64u; other++) {
        seen |= earlier[other];
    }
    if (seen == 0u && id < dims.rows && column < dims.columns) {
        // stretch by stretch, so that no sum is one long chain
        var total = Element(0.0);
        for (var first = token; first < dims.tokens; first += 64u) {
            var stretch = Element(0.0);
            for (var other = first; other < min(first + 64u, dims.tokens); other++) {
                if (ids[other] == id) {
                    stretch += dy[other * dims.columns + column];
                }
            }
            total += stretch;
        }
        dtable[id * dims.columns + column] = total;
    }
}
