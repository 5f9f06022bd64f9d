// Whole quotients without integers' division, and places in volumes by their numbers.

// A number to divide by; `inverse` is a little too small.
struct Divisor { by: u32, inverse: f32 }

fn divisor(by: u32) -> Divisor {
    return Divisor(by, 0.99999905 / f32(by));
}

// n / d for n below 2^31 and quotients below 700,000: integers are divided lane by lane on some adapters, and slowly on others.
fn quotient(n: u32, d: Divisor) -> u32 {
    let low = u32(i32(f32(i32(n)) * d.inverse));
    return low + u32(n - low * d.by >= d.by);
}

// The same for any quotient.
fn large_quotient(n: u32, d: Divisor) -> u32 {
    let low = u32(i32(f32(i32(n)) * d.inverse));
    return low + quotient(n - low * d.by, d);
}

// [outer, depth, height, width].
struct Box { volume: Divisor, plane: Divisor, width: Divisor }

fn box_of(sizes: vec3<u32>) -> Box {
    return Box(divisor(sizes.x * sizes.y * sizes.z), divisor(sizes.y * sizes.z), divisor(sizes.z));
}

struct Place { outer: u32, at: vec3<u32> }

fn place_of(index: u32, whole: Box) -> Place {
    let outer = quotient(index, whole.volume);
    let in_volume = index - outer * whole.volume.by;
    let z = quotient(in_volume, whole.plane);
    let in_plane = in_volume - z * whole.plane.by;
    let y = quotient(in_plane, whole.width);
    return Place(outer, vec3<u32>(z, y, in_plane - y * whole.width.by));
}

// The number of a place in a volume.
fn number(place: vec3<i32>, sizes: vec3<u32>) -> u32 {
    let all = vec3<i32>(sizes);
    return u32((place.x * all.y + place.y) * all.z + place.z);
}
