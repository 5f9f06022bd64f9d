// For kernels whose invocations make four neighbouring elements of a row of a product each. Needs matmul_epilogue.wgsl's `dims`.

struct Quad { batch: u32, row: u32, column: u32 }

// Quads run along rows, then through matrices; from batch `dims.batch` on there are none.
fn find_quad(item: u32) -> Quad {
    let quads = (dims.n + 3u) / 4u;
    return Quad(item / quads / dims.m, item / quads % dims.m, item % quads * 4u);
}
