// Which sample, head and first row a workgroup works on, and where that head's operands begin.

const HEAD_CHUNKS: u32 = (HEAD_DIM + 3u) / 4u;
const VALUE_CHUNKS: u32 = (VALUE_DIM + 3u) / 4u;

struct Place {
    sample: u32,
    head: u32,
    row0: u32,
    exists: bool,
    q_base: u32,
    k_base: u32,
    v_base: u32,
    dout_base: u32,
}

// Unfolds the grid: blocks of `rows` rows run fastest, then heads, then samples. `exists` is false in the grid's padding.
fn find_place(group: vec3<u32>, groups: vec3<u32>, row_count: u32, rows: u32) -> Place {
    let linear = group.x + group.y * groups.x;
    let blocks = (row_count + rows - 1u) / rows;
    let both = linear / blocks;
    let sample = both / dims.heads;
    let head = both - sample * dims.heads;
    return Place(
        sample, head, (linear - both * blocks) * rows, sample < dims.batch,
        dims.q_offset + sample * dims.q_batch_stride + head * HEAD_DIM,
        dims.k_offset + sample * dims.k_batch_stride + head * HEAD_DIM,
        dims.v_offset + sample * dims.v_batch_stride + head * VALUE_DIM,
        dims.dout_offset + sample * dims.dout_batch_stride + head * VALUE_DIM,
    );
}

// Position of row 0 in [batch, heads, query_len].
fn query_base(place: Place) -> u32 {
    return (place.sample * dims.heads + place.head) * dims.query_len;
}
