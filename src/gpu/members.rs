//! Members: siblings of a plan (one kernel over tensors of the same shapes, for each modality once) as one launch, by a rewrite of the
//! kernel's text, so that ops and shader files know nothing of it. The third dimension of the grid says which member a workgroup is of.
//!
//! An array of which each member has its own is bound once, from the first member's on, and `array[i]` becomes
//! `array[u32(i) + member_at_array]`. Where members' arrays begin stands in `dims`, as do the numbers in which members differ: one vector each.
//! So one pipeline serves any place and any number of members.

use super::preprocess::{is_word, replace_word};
use super::textures::{TEXEL, arrays, indexed, without_comments};

/// The most members of a launch: what a vector has room for.
pub const MOST_MEMBERS: usize = 4;
/// What the member of `dims` is called that has an array's places, in units of [`TEXEL`].
pub const PLACES: &str = "places_of_";

/// What the members of a launch have of their own; nothing where it has one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Members {
    /// Arrays of the kernel, sorted.
    pub arrays: Vec<String>,
    /// Members of its `dims`, sorted.
    pub scalars: Vec<String>,
}

impl Members {
    /// Whether the launch has one member.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }
}

/// The arrays of a kernel: whether it writes them, and whether members may have them of their own.
pub fn may_have(wgsl: &str) -> Vec<(String, bool, bool)> {
    let own = |name: &str| rewrite(wgsl, &Members { arrays: vec![name.to_string()], scalars: Vec::new() }).is_ok();
    arrays(wgsl).into_iter().map(|array| (array.name.clone(), array.written, own(&array.name))).collect()
}

/// `wgsl` as a launch of several members.
///
/// # Errors
/// A sentence about what cannot be a member's own.
pub fn rewrite(wgsl: &str, members: &Members) -> Result<String, String> {
    let known = arrays(wgsl);
    let mut text = without_comments(wgsl);
    let (mut fields, mut variables, mut settings) = (String::new(), String::new(), String::new());
    for name in &members.arrays {
        let refused = || format!("its array '{name}' cannot be one for each member");
        let array = known.iter().find(|array| array.name == *name).ok_or_else(refused)?;
        if hidden(&text, name) {
            return Err(refused());
        }
        text = indexed(&text, name, &|index| format!("{name}[u32({index}) + member_at_{name}]"));
        let elements = TEXEL / (4 * u64::from(array.element.words));
        fields += &format!(", {PLACES}{name}: vec4<u32>");
        variables += &format!("var<private> member_at_{name}: u32;\n");
        settings += &format!("    member_at_{name} = dims.{PLACES}{name}[member] * {elements}u;\n");
    }
    for name in &members.scalars {
        let kind = field_kind(&text, name).ok_or_else(|| format!("its dims have no number '{name}'"))?;
        text = replace_word(&text, &format!("dims.{name}"), &format!("member_{name}"));
        text = with_fields(&text, |fields| {
            replace_word(fields, &format!("{name}: {kind}"), &format!("{name}: vec4<{kind}>"))
        })?;
        variables += &format!("var<private> member_{name}: {kind};\n");
        settings += &format!("    member_{name} = dims.{name}[member];\n");
    }
    text = with_fields(&text, |old| format!("{}{fields} ", old.trim_end().trim_end_matches(',')))?;
    Ok(with_settings(&text, &settings)? + &variables)
}

/// Whether a function that indexes the array has something else of its name.
fn hidden(text: &str, name: &str) -> bool {
    let begins =
        |rest: &str| rest.trim_start().strip_prefix(name).is_some_and(|rest| !rest.bytes().next().is_some_and(is_word));
    let declares = |function: &str| {
        let (arguments, body) = function.split_once('{').unwrap_or((function, ""));
        let local = |word: &&str| body.split(*word).skip(1).any(begins);
        arguments.split(['(', ',']).any(begins) || ["let ", "var "].iter().any(local)
    };
    let indexes = |function: &str| indexed(function, name, &|_| String::new()) != function;
    text.split("\nfn ").skip(1).any(|function| declares(function) && indexes(function))
}

/// `text` with the fields of `struct Dims` changed.
fn with_fields(text: &str, change: impl Fn(&str) -> String) -> Result<String, String> {
    let parts = text.split_once("struct Dims {").and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    let (head, (fields, tail)) = parts.ok_or("it has no dims")?;
    Ok(format!("{head}struct Dims {{{}}}{tail}", change(fields)))
}

/// The type of a number in `struct Dims`.
fn field_kind(text: &str, name: &str) -> Option<&'static str> {
    let fields = text.split_once("struct Dims {")?.1.split_once('}')?.0;
    let kind = fields.split(',').filter_map(|field| field.split_once(':')).find(|(field, _)| field.trim() == name)?.1;
    ["u32", "i32", "f32"].into_iter().find(|known| *known == kind.trim())
}

/// `text` with the member read off the grid, and `settings` before all else. What the kernel knows as its place in the grid has 0
/// for its third dimension, as ever; no compiler can tell, for the sake of those kernels that want a 0 that is not known to be one.
fn with_settings(text: &str, settings: &str) -> Result<String, String> {
    const ID: &str = "@builtin(workgroup_id) ";
    let wrong = "its main takes no workgroup_id";
    let start = text.find("fn main(").ok_or(wrong)?;
    let body = start + text[start..].find(") {").ok_or(wrong)? + 3;
    let name_at = start + text[start..body].find(ID).ok_or(wrong)? + ID.len();
    let name: String = text[name_at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let rest = name_at + name.len();
    Ok(format!(
        "{}grid_place{}
    let member = grid_place.z;
    let {name} = vec3<u32>(grid_place.xy, grid_place.z >> 2u);
{settings}{}",
        &text[..name_at],
        &text[rest..body],
        &text[body..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{hide_uniforms, reflect};

    const SOURCE: &str = "struct Dims { len: u32, // number
    scale: f32, node: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // out[0] is the first
@group(0) @binding(3) var<uniform> dims: Dims;
fn scaled(i: i32) -> vec4<f32> {
    return x[u32(table[i])] * dims.scale;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * 64u + lane;
    if (i < dims.len) { out[i] += scaled(i32(i + group.z)) * f32(dims.node); }
}
";

    fn members(arrays: &[&str], scalars: &[&str]) -> Members {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Members { arrays: owned(arrays), scalars: owned(scalars) }
    }

    #[test]
    fn what_members_have_of_their_own_is_found_by_the_third_dimension_of_the_grid() {
        let text = rewrite(SOURCE, &members(&["out", "table"], &["node", "scale"])).unwrap();
        assert!(text.contains("return x[u32(table[u32(i) + member_at_table])] * member_scale;"), "{text}");
        assert!(text.contains("out[u32(i) + member_at_out] += scaled(i32(i + group.z)) * f32(member_node);"), "{text}");
        assert!(text.contains("i < dims.len"), "{text}");
        assert!(text.contains("member_at_table = dims.places_of_table[member] * 4u;"), "{text}");
        assert!(text.contains("member_at_out = dims.places_of_out[member] * 1u;"), "{text}");
        assert!(!text.contains("out[0]"), "comments are no code: {text}");
        for text in [hide_uniforms(&text), text] {
            let (_, reflection) = reflect(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let Some(crate::gpu::BindingKind::Uniform { fields }) =
                reflection.binding("dims").map(|dims| dims.kind.clone())
            else {
                panic!("no dims");
            };
            let vectors: Vec<&str> =
                fields.iter().filter(|field| field.vector).map(|field| field.name.as_str()).collect();
            assert_eq!(vectors, ["scale", "node", "places_of_out", "places_of_table"]);
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let own = |source: &str| {
            may_have(source).into_iter().filter(|(.., own)| *own).map(|(name, ..)| name).collect::<Vec<_>>()
        };
        assert_eq!(own(SOURCE), ["x", "table", "out"]);
        assert!(rewrite(SOURCE, &members(&["nothing"], &[])).is_err());
        assert!(rewrite(SOURCE, &members(&["x"], &["nothing"])).is_err());
        // a name of its own hides an array where that is indexed, and nowhere else
        assert_eq!(own(&SOURCE.replace("(i: i32)", "(x: i32)")), ["table", "out"]);
        assert_eq!(own(&SOURCE.replace("let i =", "let out =")), ["x", "table"]);
        assert_eq!(own(&SOURCE.replace("let i =", "let x =")), ["x", "table", "out"]);
        for (part, other) in [("workgroup_id", "num_workgroups"), ("Dims", "Sizes")] {
            assert!(own(&SOURCE.replace(part, other)).is_empty(), "{other}");
        }
    }
}
