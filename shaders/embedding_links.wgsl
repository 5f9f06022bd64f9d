// links[t] = (1 if no token before t has its id, the next token after t that has it, or tokens if none): chains of equal ids.
//
// Dispatch: one invocation per token. Overwrites `links`.

struct Dims { tokens: u32 }

@group(0) @binding(0) var<storage, read> ids: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> links: array<vec2<u32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = (group.y * groups.x + group.x) * 64u + lane;
    if (token >= dims.tokens) {
        return;
    }
    let id = ids[token / 4u][token % 4u];
    var is_first = true;
    var next = vec4<u32>(dims.tokens);
    for (var quad = 0u; 4u * quad < dims.tokens; quad++) {
        let others = vec4<u32>(4u * quad) + vec4<u32>(0u, 1u, 2u, 3u);
        let same = ids[quad] == vec4<u32>(id);
        is_first = is_first && !any(same & (others < vec4<u32>(token)));
        next = min(next, select(vec4<u32>(dims.tokens), others, same & (others > vec4<u32>(token))));
    }
    links[token] = vec2<u32>(u32(is_first), min(min(next.x, next.y), min(next.z, next.w)));
}
