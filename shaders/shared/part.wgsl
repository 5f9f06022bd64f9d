// Rows in parts: four elements at a time where rows are a multiple of four long, else one at a time.

const VECTOR: u32 = 1u;

// @if VECTOR
const PART: u32 = 4u;
alias Part = vec4<f32>;

fn total(part: Part) -> f32 {
    return (part.x + part.y) + (part.z + part.w);
}

fn largest(part: Part) -> f32 {
    return max(max(part.x, part.y), max(part.z, part.w));
}
// @end
// @if !VECTOR
const PART: u32 = 1u;
alias Part = f32;

fn total(part: Part) -> f32 {
    return part;
}

fn largest(part: Part) -> f32 {
    return part;
}
// @end
