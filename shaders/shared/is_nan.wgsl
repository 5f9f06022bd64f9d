// No comparison and no arithmetic may be trusted with NaN: compilers may take it that there is none.
fn is_nan(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}
