// Masks of the portable attention kernels whose rows are queries and whose columns are keys.

// One past the last key that this block of queries may see. Without PAIR the padding at the end is left out.
fn visible_key_end(place: Place, thread: u32) -> u32 {
    if (PAIR != 0u) { return causal_key_end(place.row0 + TILE_ROWS); }
    if (dims.has_mask == 0u) { return dims.key_len; }
    var end = 0u;
    for (var key = thread; key < dims.key_len; key += THREADS) {
        if (mask[place.sample * dims.key_len + key] != 0u) { end = key + 1u; }
    }
    return workgroup_max(end, thread);
}

// With PAIR: the mask words of a thread's four queries for the keys from key0.
fn row_words(sample: u32, row: u32, key0: u32) -> vec4<u32> {
    if (PAIR == 0u) { return vec4<u32>(0u); }
    let word = key0 / 32u;
    return vec4<u32>(
        pair_word(sample, row, word), pair_word(sample, row + 1u, word),
        pair_word(sample, row + 2u, word), pair_word(sample, row + 3u, word),
    );
}

// Which of a thread's four queries see the key in column `col` of the tile.
fn pair_valid(sample: u32, words: vec4<u32>, key0: u32, col: u32) -> vec4<bool> {
    if (PAIR != 0u) {
        return ((words >> vec4<u32>(col)) & vec4<u32>(1u)) != vec4<u32>(0u);
    }
    return vec4<bool>(key_valid(sample, key0 + col));
}
