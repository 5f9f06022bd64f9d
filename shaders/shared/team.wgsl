// Teams: LANES invocations of a workgroup share a row and TEAMS rows share a workgroup; slot = local_invocation_index, lane =
// slot % LANES. Sums run in a fixed order. Every invocation must call these the same number of times, and together: a loop before them takes
// all lanes through as many turns, for SPIR-V does not promise that lanes which left a loop early wait for the others.

const LANES: u32 = 8u;
const TEAMS: u32 = 8u;
// Lanes meet in a tree over workgroup memory (LANES a power of two), or as a subgroup of exactly LANES; neither where LANES is 1.
const TREE: u32 = 1u;
const SUBGROUP: u32 = 0u;

// @if TREE
var<workgroup> meeting: array<vec2<f32>, LANES * TEAMS>;

// The team's sum of each of two numbers.
fn team_sum(value: vec2<f32>, slot: u32) -> vec2<f32> {
    meeting[slot] = value;
    workgroupBarrier();
    for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
        if (slot % LANES < reach) {
            meeting[slot] += meeting[slot + reach];
        }
        workgroupBarrier();
    }
    let sum = meeting[slot - slot % LANES];
    workgroupBarrier();
    return sum;
}

// The team's largest number.
fn team_max(value: f32, slot: u32) -> f32 {
    meeting[slot].x = value;
    workgroupBarrier();
    for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
        if (slot % LANES < reach) {
            meeting[slot].x = max(meeting[slot].x, meeting[slot + reach].x);
        }
        workgroupBarrier();
    }
    let most = meeting[slot - slot % LANES].x;
    workgroupBarrier();
    return most;
}
// @end
// @if !TREE
fn team_sum(value: vec2<f32>, slot: u32) -> vec2<f32> {
    // @if SUBGROUP
    return subgroupAdd(value);
    // @end
    // @if !SUBGROUP
    return value;
    // @end
}

fn team_max(value: f32, slot: u32) -> f32 {
    // @if SUBGROUP
    return subgroupMax(value);
    // @end
    // @if !SUBGROUP
    return value;
    // @end
}
// @end
