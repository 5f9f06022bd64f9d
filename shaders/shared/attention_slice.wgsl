// Rows of scores between the products of attention on cooperative matrices. They are those of a slice of all samples' heads: matrices
// [padded_queries, padded_keys], one after the other, of which query_len rows and key_len columns count.

// @import "attention_limits.wgsl"

struct Dims {
    // The slice's first matrix among all samples' heads, and the rows of its matrices.
    first: u32,
    rows: u32,
    heads: u32,
    query_len: u32,
    key_len: u32,
    padded_queries: u32,
    padded_keys: u32,
    // As in attention_dims.wgsl.
    has_mask: u32,
    mask_batch_stride: u32,
    has_query_mask: u32,
    causal: u32,
    scale: f32,
    dropout: f32,
    node: u32,
    // attention_probabilities_backward.wgsl only: what keeps dscores within the range of halves.
    boost: f32,
}

struct Row {
    sample: u32,
    query: u32,
    // in [batch, heads, query_len]
    position: u32,
    // one past the last key that it may see, whatever else masks; 0 if it does not exist
    key_end: u32,
}

fn find_row(row: u32) -> Row {
    let matrix = dims.first + row / dims.padded_queries;
    let query = row % dims.padded_queries;
    let exists = row < dims.rows && query < dims.query_len;
    return Row(matrix / dims.heads, query, matrix * dims.query_len + query, select(0u, causal_key_end(query + 1u), exists));
}

// Which of four neighbouring keys a query that exists sees; `key` is the first, a multiple of 4.
fn visible(row: Row, key: u32) -> vec4<bool> {
    if (PAIR != 0u) {
        let bits = pair_word(row.sample, row.query, key / 32u) >> (key % 32u);
        return (vec4<u32>(bits) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u);
    }
    return vec4<bool>(
        key_valid(row.sample, key), key_valid(row.sample, key + 1u),
        key_valid(row.sample, key + 2u), key_valid(row.sample, key + 3u),
    );
}
