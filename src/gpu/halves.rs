//! Halves: a kernel's arrays of 32-bit floats kept as 16-bit ones, by a rewrite of its text, so that ops and shader files know nothing of
//! it. What a kernel reads becomes 32-bit as it is read and what it makes 16-bit as it is written; between them it is what it was.
//!
//! Two halves share a word, four are two words (`shaders/shared/halves.wgsl`), which WGSL has on every adapter: no feature is asked
//! for. A kernel can read halves one by one, but can write them only by fours: two invocations must not write parts of one word.

use super::preprocess::is_word;
use super::textures::{Declaration, arrays, closing, without_comments};
use crate::shaders;

/// Names of the arrays of `wgsl` that may hold halves instead.
pub fn may_hold(wgsl: &str) -> Vec<String> {
    let code = without_comments(wgsl);
    let fits =
        |array: &Declaration| !array.written || (array.element.words == 4 && rewritten(&code, &array.name).is_some());
    arrays(wgsl).into_iter().filter(fits).map(|array| array.name).collect()
}

/// `wgsl` with the arrays called `names` holding halves.
///
/// # Errors
/// A sentence about an array that cannot.
pub fn rewrite(wgsl: &str, names: &[String]) -> Result<String, String> {
    let known = arrays(wgsl);
    let mut text = without_comments(wgsl);
    let mut functions = shaders::shared("halves.wgsl").unwrap_or_default().to_string();
    for name in names {
        let refused = || format!("its array '{name}' cannot hold halves");
        let array = known.iter().find(|array| array.name == *name).ok_or_else(refused)?;
        if array.written && array.element.words < 4 {
            return Err(refused());
        }
        text = rewritten(&text, name).ok_or_else(refused)?;
        let (kind, words) = (array.element.kind, array.element.words);
        let (held, value) = match words {
            1 => ("u32", format!("unpack2x16float({name}[i >> 1u])[i & 1u]")),
            2 => ("u32", format!("unpack2x16float({name}[i])")),
            _ => ("vec2<u32>", format!("from_halves({name}[i])")),
        };
        let declared = array.line.replace(&format!("array<{}>", array.declared_kind), &format!("array<{held}>"));
        text = text.replace(array.line.as_str(), &declared);
        let (read, written) = match kind.contains("u32") {
            true => (format!("bitcast<{kind}>({value})"), "bitcast<vec4<f32>>(value)"),
            false => (value, "value"),
        };
        functions += &format!("fn {name}_from_halves(i: u32) -> {kind} {{\n    return {read};\n}}\n");
        if array.written {
            functions +=
                &format!("fn {name}_to_halves(i: u32, value: {kind}) {{\n    {name}[i] = to_halves({written});\n}}\n");
        }
    }
    Ok(text + &functions)
}

/// `text` with `name[i]` and `name[i] = value;` as calls; `None` where a part of an element is written, or one is changed in place.
fn rewritten(text: &str, name: &str) -> Option<String> {
    let head = format!("{name}[");
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(found) = rest.find(&head) {
        let inner = &rest[found + head.len()..];
        out.push_str(&rest[..found]);
        if out.bytes().last().is_some_and(|byte| is_word(byte) || byte == b'.') {
            out.push_str(&head);
            rest = inner;
            continue;
        }
        let end = closing(inner)?;
        let index = rewritten(&inner[..end], name)?;
        let after = &inner[end + 1..];
        match assigned(after) {
            Some(Assignment::Whole(value)) => {
                let end = value.find(';')?;
                let made = rewritten(value[..end].trim(), name)?;
                out.push_str(&format!("{name}_to_halves(u32({index}), {made})"));
                rest = &value[end..];
            }
            Some(Assignment::Part) => return None,
            None => {
                out.push_str(&format!("{name}_from_halves(u32({index}))"));
                rest = after;
            }
        }
    }
    Some(out + rest)
}

/// What an element is assigned.
enum Assignment<'a> {
    /// What stands behind the `=`.
    Whole(&'a str),
    /// To a component of it, or together with what was there.
    Part,
}

/// The assignment that goes on with `after`, which follows `name[i]`; `None` where that is read.
fn assigned(after: &str) -> Option<Assignment<'_>> {
    let mut rest = after.trim_start();
    let mut component = false;
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            rest = inner[closing(inner)? + 1..].trim_start();
        } else if let Some(member) = rest.strip_prefix('.') {
            rest = member.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').trim_start();
        } else {
            break;
        }
        component = true;
    }
    let plain = rest.strip_prefix('=').filter(|value| !value.starts_with('='));
    let combined = || {
        let operator = ["+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="].iter();
        ["++", "--"].iter().chain(operator).any(|operator| rest.starts_with(operator))
    };
    match plain {
        Some(value) if !component => Some(Assignment::Whole(value)),
        Some(_) => Some(Assignment::Part),
        None => combined().then_some(Assignment::Part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "alias Part = vec4<f32>;
@group(0) @binding(0) var<storage, read> x: array<Part>; // @buffer
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<Part>; // out[0] is the first
@group(0) @binding(3) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> scalars: array<f32>;
fn f(i: u32) {
    out[i] = x[i] + select(out[i],
        table[i + 1u], i == 0u); // x[7] is not read
    sum[i] += x[i];
    scalars[i] = x[i].y;
}
";

    #[test]
    fn what_is_written_in_parts_or_by_ones_cannot_hold_halves() {
        assert_eq!(may_hold(SOURCE), ["x", "table", "out"]);
        assert_eq!(may_hold(&SOURCE.replace("out[i] =", "out[i].x =")), ["x", "table"]);
        assert_eq!(may_hold(&SOURCE.replace("out[i] =", "out[i][0] =")), ["x", "table"]);
        assert!(rewrite(SOURCE, &["sum".to_string()]).is_err());
        assert!(rewrite(SOURCE, &["nothing".to_string()]).is_err());
    }

    #[test]
    fn reads_and_writes_become_calls_and_naga_accepts_them() {
        let names = ["x", "table", "out"].map(str::to_string);
        let text = rewrite(SOURCE, &names).unwrap();
        assert!(text.contains("var<storage, read> x: array<vec2<u32>>; // @buffer"), "{text}");
        assert!(text.contains("var<storage, read> table: array<u32>;"), "{text}");
        assert!(text.contains("var<storage, read_write> out: array<vec2<u32>>;"), "{text}");
        assert!(
            text.contains("out_to_halves(u32(i), x_from_halves(u32(i)) + select(out_from_halves(u32(i)),"),
            "{text}"
        );
        assert!(text.contains("sum[i] += x_from_halves(u32(i));"), "{text}");
        assert!(!text.contains("x[7]") && !text.contains("x_from_halves(u32(7))"), "{text}");
    }
}
