// Sizes and places of the attention operands, the same struct in every attention kernel; counts are in elements.
struct Dims {
    batch: u32,
    heads: u32,
    query_len: u32,
    key_len: u32,
    q_offset: u32,
    q_row_stride: u32,
    q_batch_stride: u32,
    k_offset: u32,
    k_row_stride: u32,
    k_batch_stride: u32,
    v_offset: u32,
    v_row_stride: u32,
    v_batch_stride: u32,
    out_offset: u32,
    out_row_stride: u32,
    out_batch_stride: u32,
    dout_offset: u32,
    dout_row_stride: u32,
    dout_batch_stride: u32,
    dq_offset: u32,
    dq_row_stride: u32,
    dq_batch_stride: u32,
    dk_offset: u32,
    dk_row_stride: u32,
    dk_batch_stride: u32,
    dv_offset: u32,
    dv_row_stride: u32,
    dv_batch_stride: u32,
    // 1 if `mask` is to be read: key_mask u32 [batch, key_len], or with PAIR the packed bits of attention_mask.wgsl.
    has_mask: u32,
    // With PAIR: words from one sample's bits to the next, 0 if all samples share them.
    mask_batch_stride: u32,
    has_query_mask: u32,
    causal: u32,
    // attention_mask.wgsl only: elements from one sample's pair mask to the next, 0 if shared.
    has_pair_mask: u32,
    pair_batch_stride: u32,
    scale: f32,
    dropout: f32,
    node: u32,
}

const LOWEST: f32 = -3.0e38; // the score of a pair that is masked; finite, so that differences stay finite
const MASKED: f32 = -2.9e38; // a score at or below this is masked
const EMPTY_LSE: f32 = 3.0e38; // log-sum-exp of a query without any valid key
const LIVE_LSE: f32 = 1.0e38; // a log-sum-exp below this belongs to a query with a valid key
const LOG2_E: f32 = 1.4426950408889634;
const LN_2: f32 = 0.6931471805599453;
