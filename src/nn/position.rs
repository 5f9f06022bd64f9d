//! Fixed position encodings.

/// The sinusoidal table of Vaswani et al. (2017), `[seq_len, model_dim]` row-major: sin(position / 10000^(2i / model_dim)) at column 2i
/// and the cosine of the same at 2i + 1. A host-side table: give it to a graph as an input, or as a parameter that is not trained.
pub fn sinusoidal_positions(seq_len: usize, model_dim: usize) -> Vec<f32> {
    let value = |position: usize, column: usize| {
        let pair = (column - column % 2) as f64;
        let angle = position as f64 * (-pair * 10000f64.ln() / model_dim as f64).exp();
        (if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..seq_len).flat_map(|position| (0..model_dim).map(move |column| value(position, column))).collect()
}
