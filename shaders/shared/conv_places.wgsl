// Where the results of a convolution go (conv_view.wgsl). The importing file imports conv_finish.wgsl.

// @import "conv_view.wgsl"

// Where four neighbouring columns' elements go.
fn places_out(view: View, column: u32) -> Places {
    if (column >= view.columns) {
        return Places(vec4<u32>(0u), 0u);
    }
    let first = place_out(view, column);
    // @if SPAN
    let x = place_of(column, view.sites).at.z;
    // @if STRIDED
    return Places(first + vec4<u32>(0u, 1u, 2u, 3u) * dims.stride_w, min(4u, view.width - x));
    // @end
    // @if !STRIDED
    return Places(first + vec4<u32>(0u, 1u, 2u, 3u), min(4u, view.width - x));
    // @end
    // @end
    // @if !SPAN
    let others = vec3<u32>(place_out(view, column + 1u), place_out(view, column + 2u), place_out(view, column + 3u));
    return Places(vec4<u32>(first, others), min(4u, view.columns - column));
    // @end
}

fn place_out(view: View, column: u32) -> u32 {
    // @if TO_WEIGHT
    return view.group * dims.rows * dims.out_pitch + column;
    // @end
    // @if !TO_WEIGHT
    let site = place_of(column, view.sites);
    let channel = (site.outer * dims.groups + view.group) * dims.rows;
    // @if STRIDED
    let strides = vec3<u32>(dims.stride_d, dims.stride_h, dims.stride_w);
    let place = site.at * strides + view.corner;
    // @end
    // @if !STRIDED
    let place = site.at;
    // @end
    // @if TO_INPUT
    let sizes = vec3<u32>(dims.in_d, dims.in_h, dims.in_w);
    // @end
    // @if !TO_INPUT
    let sizes = vec3<u32>(dims.out_d, dims.out_h, dims.out_w);
    // @end
    return channel * dims.out_pitch + number(vec3<i32>(place), sizes);
    // @end
}
