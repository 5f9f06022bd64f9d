// dweight = sum over teams of partial[team][0], dbias = sum over teams of partial[team][1]; partial: [teams, 2, columns] from
// layer_norm_backward.wgsl.
//
// Dispatch: a workgroup per 256 / SLICES parts of (dweight, dbias); SLICES invocations share the teams of a part and add up in a
// tree, in a fixed order. Overwrites its outputs.

// @import "part.wgsl"

const SLICES: u32 = 16u;
const WIDTH: u32 = 256u / SLICES;

struct Dims { teams: u32, parts: u32 }

@group(0) @binding(0) var<storage, read> partial: array<Part>;
@group(0) @binding(1) var<storage, read_write> dweight: array<Part>;
@group(0) @binding(2) var<storage, read_write> dbias: array<Part>;
@group(0) @binding(3) var<uniform> dims: Dims;

var<workgroup> sums: array<Part, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = (group.y * groups.x + group.x) * WIDTH + lane % WIDTH;
    let slice = lane / WIDTH;
    var sum = Part(0.0);
    if (column < 2u * dims.parts) {
        for (var team = slice; team < dims.teams; team += SLICES) {
            sum += partial[team * 2u * dims.parts + column];
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var reach = SLICES / 2u; reach > 0u; reach /= 2u) {
        if (slice < reach) {
            sums[lane] += sums[lane + reach * WIDTH];
        }
        workgroupBarrier();
    }
    if (slice == 0u) {
        if (column < dims.parts) {
            dweight[column] = sums[lane];
        } else if (column < 2u * dims.parts) {
            dbias[column - dims.parts] = sums[lane];
        }
    }
}
