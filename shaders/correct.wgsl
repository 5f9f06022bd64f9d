// correct[row] = 1 where the first largest of scores[row, :] is at labels[row], else 0. scores: [rows, columns].
//
// Dispatch: one invocation per row. Overwrites `correct`.

struct Dims { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> correct: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (group.y * groups.x + group.x) * 64u + lane;
    if (row >= dims.rows) {
        return;
    }
    var best = 0u;
    for (var c = 1u; c < dims.columns; c++) {
        if (scores[row * dims.columns + c] > scores[row * dims.columns + best]) {
            best = c;
        }
    }
    correct[row] = select(0.0, 1.0, best == labels[row]);
}
