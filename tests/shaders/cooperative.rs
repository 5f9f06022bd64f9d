//! The kernels on and around cooperative matrices in every variant, and what naga leaves unchecked: the element's type of a matrix is that
//! of the memory it is loaded from, whatever its own says, and factors need not be of one size.

use crate::translate::{declared, validate};
use crate::variants;
use limbic::gpu::KernelKey;
use naga::{CooperativeRole, Expression, Handle, Scalar, TypeInner};
use std::collections::BTreeSet;

/// Either size of matrix, of block and of subgroup, in every layout; the packing of operands, from 32 bits and from halves; and what
/// convolutions have instead of that.
pub fn keys() -> Vec<KernelKey> {
    let mut keys = Vec::new();
    for (tile, lanes) in [(8, 8), (8, 32), (16, 32), (16, 64)] {
        for (tiles, a, b) in [(4, 0, 0), (4, 0, 1), (4, 1, 0), (2, 0, 0), (2, 0, 1), (2, 1, 0)] {
            let sizes = [("TILE_8", u32::from(tile == 8)), ("TILE_16", u32::from(tile == 16)), ("LANES", lanes)];
            let layout = [("TILES", tiles), ("A_TRANSPOSED", a), ("B_TRANSPOSED", b)];
            keys.push(KernelKey::new("matmul_cooperative", &[&sizes[..], &layout].concat()));
        }
    }
    for (vector, halves) in [(0, &["packed"][..]), (1, &["packed"]), (0, &["packed", "x"]), (1, &["packed", "x"])] {
        let mut key = KernelKey::new("matmul_pack", &[("VECTOR", vector), ("SCALAR", 1 - vector)]);
        key.halves = halves.iter().map(|name| name.to_string()).collect();
        keys.push(key);
    }
    keys.extend(of_attention());
    keys.extend(convolutions());
    keys
}

/// What runs around the products of attention: copies of 32 bits and of halves, teams of either kind, every mask.
fn of_attention() -> Vec<KernelKey> {
    let with = |shader, defines: &[(&str, u32)], halves: &[&str]| {
        let mut key = KernelKey::new(shader, defines);
        key.halves = halves.iter().map(|name| name.to_string()).collect();
        key
    };
    let mut keys = vec![
        with("attention_pack", &[], &["packed"]),
        with("attention_pack", &[], &["packed", "x"]),
        with("attention_unpack", &[], &[]),
        with("attention_unpack", &[], &["out"]),
        with("attention_seen", &[], &[]),
    ];
    for (pair, dropout) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let flags = [("PAIR", pair), ("DROPOUT", dropout)];
        keys.push(with("attention_probabilities_backward", &flags, &["dscores", "weights"]));
        for (lanes, teams, subgroup) in [(8, 1, 0), (8, 1, 1), (32, 4, 0), (32, 4, 1)] {
            let team = [("LANES", lanes), ("TEAMS", teams), ("TREE", 1 - subgroup), ("SUBGROUP", subgroup)];
            keys.push(with("attention_probabilities", &[&flags[..], &team].concat(), &["weights"]));
        }
    }
    keys
}

/// What comes before and after the product of a convolution, for all operands and finishes that `conv_subgroup` has: they are read and
/// written by the same code.
fn convolutions() -> BTreeSet<KernelKey> {
    const PASS: [&str; 4] = ["TO_INPUT", "TO_WEIGHT", "STRIDED", "SPAN"];
    const READING: [&str; 8] = ["POINT", "CHECK_D", "CHECK_H", "CHECK_W", "A_VECTOR", "B_VECTOR", "SPAN_K", "B_QUADS"];
    const TILE: [&str; 3] = ["LANES", "ROWS", "TURN"];
    let mut keys = BTreeSet::new();
    for key in variants::taken().iter().filter(|key| key.shader == "conv_subgroup") {
        let with = |shader, of: &dyn Fn(&str) -> bool| {
            let defines = key.defines.iter().filter(|(name, _)| of(name)).map(|(name, value)| (name.as_str(), *value));
            KernelKey::new(shader, &defines.collect::<Vec<_>>())
        };
        let pack = with("conv_pack", &|name| PASS.contains(&name) || READING.contains(&name));
        for halves in [&["packed_a", "packed_b"][..], &["a", "b", "packed_a", "packed_b"]] {
            keys.insert(KernelKey { halves: halves.iter().map(|name| name.to_string()).collect(), ..pack.clone() });
        }
        keys.insert(with("conv_reduce", &|name| !READING.contains(&name) && !TILE.contains(&name)));
    }
    keys
}

/// What breaks those rules in `wgsl`, whose matrices have `tile` rows and columns.
fn mixed_up(wgsl: &str, tile: u32) -> Vec<String> {
    let (module, info) = validate(wgsl, true).unwrap_or_else(|fault| panic!("{fault}"));
    let entry = &module.entry_points[0];
    let types = info.get_entry_point(0);
    let matrix = |handle: Handle<Expression>| match *types[handle].ty.inner_with(&module.types) {
        TypeInner::CooperativeMatrix { columns, rows, scalar, role } => (columns as u32, rows as u32, scalar, role),
        ref other => panic!("a factor is {other:?}"),
    };
    let (mut faults, mut products) = (Vec::new(), 0);
    for (_, expression) in entry.function.expressions.iter() {
        let Expression::CooperativeMultiplyAdd { a, b, c } = *expression else { continue };
        products += 1;
        for (handle, role, scalar) in [
            (a, CooperativeRole::A, Scalar::F16),
            (b, CooperativeRole::B, Scalar::F16),
            (c, CooperativeRole::C, Scalar::F32),
        ] {
            let (found, wanted) = (matrix(handle), (tile, tile, scalar, role));
            if found != wanted {
                faults.push(format!("{found:?}, not {wanted:?}"));
            }
        }
    }
    assert!(products >= 4, "{products} products");
    faults.extend(entry.function.expressions.iter().filter_map(|(_, expression)| {
        let Expression::CooperativeLoad { ref data, .. } = *expression else { return None };
        let pointer = types[data.pointer].ty.inner_with(&module.types);
        let element = pointer.pointer_base_type()?.inner_with(&module.types).scalar();
        (element != Some(Scalar::F16)).then(|| format!("loaded from {element:?}"))
    }));
    faults
}

#[test]
fn matrices_are_what_their_elements_and_sizes_say() {
    for key in keys().iter().filter(|key| key.shader == "matmul_cooperative") {
        let tile = if key.defines.contains(&("TILE_8".to_string(), 1)) { 8 } else { 16 };
        let wgsl = key.wgsl().unwrap();
        assert!(declared(&wgsl).contains(naga::valid::Capabilities::COOPERATIVE_MATRIX));
        assert_eq!(mixed_up(&wgsl, tile), Vec::<String>::new(), "{key}");
        let of_floats = wgsl.replace("a: array<f16>", "a: array<f32>");
        assert!(!mixed_up(&of_floats, tile).is_empty(), "{key}: naga accepts it, this test must not");
    }
}
