// Four neighbouring elements of a row of softmax.wgsl and its gradient, part i: which of them count, and where they are.
//
// Needs VECTOR, MASK, `mask`, row_mask.wgsl and the rows' `dims` in the importing file.

// Which elements of part i count.
fn counting(row: u32, i: u32) -> vec4<bool> {
    let inside = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.columns);
    // @if MASK
    return inside & (mask_part(mask_row(row, dims.divide, dims.modulo), i) != vec4<u32>(0u));
    // @end
    // @if !MASK
    return inside;
    // @end
}

fn mask_part(row: u32, i: u32) -> vec4<u32> {
    // @if VECTOR
    return mask[row * dims.parts + i];
    // @end
    // @if !VECTOR
    let at = row * dims.columns + columns_of(i);
    return vec4<u32>(mask[at.x], mask[at.y], mask[at.z], mask[at.w]);
    // @end
}

// The columns of part i; those beyond the row's end are its last.
fn columns_of(i: u32) -> vec4<u32> {
    return min(4u * i + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.columns - 1u));
}
