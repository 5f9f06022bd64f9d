// Does nothing: what a dispatch costs by itself.

@compute @workgroup_size(64)
fn main() {}
