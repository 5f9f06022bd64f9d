// What reduce_rows and reduce_columns share: the elements they load and how two results become one.

// 0 sum, 1 maximum, 2 minimum, 3 sum of squares (as the first of several stages; those after it are sums)
const FUNCTION: u32 = 0u;

// @if VECTOR
alias Element = vec4<f32>;
// @end
// @if !VECTOR
alias Element = f32;
// @end

// What an element contributes.
fn term(x: Element) -> Element {
    if (FUNCTION == 3u) {
        return x * x;
    }
    return x;
}

fn combine(a: Element, b: Element) -> Element {
    if (FUNCTION == 1u) {
        return max(a, b);
    }
    if (FUNCTION == 2u) {
        return min(a, b);
    }
    return a + b;
}

// What a reduction starts from; `any` is one of its elements, since a maximum may meet the same element twice.
fn start(any: Element) -> Element {
    if (FUNCTION == 1u || FUNCTION == 2u) {
        return any;
    }
    return Element(0.0);
}
