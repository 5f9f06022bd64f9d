// links[t] = (1 if no token before t has its id, the next token after t that has it, or tokens if none): chains of equal ids.
//
// Dispatch: one invocation per token. Overwrites `links`.

struct Dims { tokens: u32 }

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> links: array<vec2<u32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = (group.y * groups.x + group.x) * 64u + lane;
    if (token >= dims.tokens) {
        return;
    }
    let id = ids[token];
    var before = 0u;
    while (before < token && ids[before] != id) {
        before++;
    }
    var next = token + 1u;
    while (next < dims.tokens && ids[next] != id) {
        next++;
    }
    links[token] = vec2<u32>(u32(before == token), next);
}
