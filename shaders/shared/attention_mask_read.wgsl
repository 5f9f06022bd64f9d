// The mask of an attention kernel. Without PAIR: u32 per key, [batch, key_len]. With PAIR: 32 keys per u32, [batch or 1,
// query_len, words], as attention_mask.wgsl packs them.

// Whether a key exists and, without PAIR, is valid.
fn key_valid(sample: u32, key: u32) -> bool {
    if (key >= dims.key_len) { return false; }
    if (PAIR != 0u || dims.has_mask == 0u) { return true; }
    return mask[sample * dims.key_len + key] != 0u;
}

// With PAIR: the validity bits of 32 keys from 32 * word, for one query.
fn pair_word(sample: u32, query: u32, word: u32) -> u32 {
    let words = (dims.key_len + 31u) / 32u;
    if (query >= dims.query_len || word >= words) { return 0u; }
    return mask[sample * dims.mask_batch_stride + query * words + word];
}

// No query before `query_end` sees a key from here on.
fn causal_key_end(query_end: u32) -> u32 {
    return select(dims.key_len, min(dims.key_len, query_end), dims.causal != 0u);
}
