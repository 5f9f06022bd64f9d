// Dropout of attention weights, the same in forward and backward: counted by the weight's position in [batch, heads,
// query_len, key_len].

// For four neighbouring queries; `at` is the position of the first one's weight.
fn dropout_queries(at: u32) -> vec4<f32> {
    return vec4<f32>(
        dropout_scale(dims.node, at, dims.dropout),
        dropout_scale(dims.node, at + dims.key_len, dims.dropout),
        dropout_scale(dims.node, at + 2u * dims.key_len, dims.dropout),
        dropout_scale(dims.node, at + 3u * dims.key_len, dims.dropout),
    );
}

// For four neighbouring keys; one hash serves all four where rows of weights align.
fn dropout_keys(at: u32) -> vec4<f32> {
    if (at % 4u == 0u) { return dropout_scale_quad(dims.node, at, dims.dropout); }
    return vec4<f32>(
        dropout_scale(dims.node, at, dims.dropout),
        dropout_scale(dims.node, at + 1u, dims.dropout),
        dropout_scale(dims.node, at + 2u, dims.dropout),
        dropout_scale(dims.node, at + 3u, dims.dropout),
    );
}
