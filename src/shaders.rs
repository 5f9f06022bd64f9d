//! The shader files, as they stand in `shaders/`.

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name, ".wgsl")))),*]
    };
}

/// Every kernel, by name.
pub const KERNELS: &[(&str, &str)] = files!("shaders":
    "accumulate",
    "assign",
    "attention_backward_kv",
    "attention_backward_kv_subgroup",
    "attention_backward_q",
    "attention_backward_q_subgroup",
    "attention_delta",
    "attention_forward",
    "attention_forward_subgroup",
    "attention_mask",
    "attention_weights",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_statistics",
    "batch_norm_sums",
    "binary",
    "binary_broadcast",
    "combine_masks",
    "concat",
    "constant",
    "contrast",
    "contrast_backward",
    "conv",
    "conv_direct",
    "conv_direct_weight",
    "conv_rows",
    "conv_rows_input",
    "conv_rows_weight",
    "conv_subgroup",
    "copy",
    "correct",
    "cross_entropy",
    "cross_entropy_backward",
    "cumsum",
    "dropout",
    "embedding",
    "embedding_backward",
    "embedding_links",
    "fill",
    "flow_linearise",
    "flow_pyramid",
    "flow_result",
    "flow_solve",
    "gather",
    "gather_backward",
    "gradient_clip",
    "gradient_norm",
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_parameters",
    "look_ahead_mask",
    "loss",
    "loss_backward",
    "mask_rows",
    "matmul",
    "matmul_epilogue_backward",
    "matmul_reduce",
    "matmul_subgroup",
    "optimizer",
    "padding_mask",
    "place",
    "pooling",
    "pooling_backward",
    "recurrent",
    "recurrent_backward",
    "reduce_columns",
    "reduce_rows",
    "select",
    "softmax",
    "softmax_axis",
    "softmax_axis_backward",
    "softmax_backward",
    "strided_copy",
    "unary",
    "unary_backward",
    "weighted_mean",
    "window_pool",
    "window_pool_backward",
    "window_pool_rows",
    "window_pool_rows_backward",
    "window_pool_scatter",
);

/// What several kernels import.
pub const SHARED: &[(&str, &str)] = files!("shaders/shared":
    "activation",
    "attention_dims",
    "attention_dk",
    "attention_dout",
    "attention_dq",
    "attention_dropout",
    "attention_dv",
    "attention_k",
    "attention_mask_read",
    "attention_out",
    "attention_place",
    "attention_q",
    "attention_subgroup",
    "attention_subgroup_query",
    "attention_tile",
    "attention_tile_query",
    "attention_v",
    "batch_norm_channel",
    "binary_function",
    "box",
    "channel_sum",
    "contrast_sets",
    "conv_finish",
    "conv_places",
    "conv_quads",
    "flow_median",
    "functions",
    "halves",
    "matmul_epilogue",
    "pair_function",
    "part",
    "random",
    "recurrence",
    "reduction",
    "row_mask",
    "row_span",
    "step",
    "team",
    "windows",
);

/// The text of kernel `name`.
pub(crate) fn source(name: &str) -> Option<&'static str> {
    find(KERNELS, name)
}

/// The text of the shared file `name`, with its ending.
pub(crate) fn shared(name: &str) -> Option<&'static str> {
    find(SHARED, name.strip_suffix(".wgsl")?)
}

fn find(files: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    files.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
