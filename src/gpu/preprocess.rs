//! The shader preprocessor. Shader files are whole, valid WGSL; what it does stands in comments and constants:
//!
//! - `// @import "x.wgsl"` includes `shaders/shared/x.wgsl`, once;
//! - a top-level `const NAME: u32 = 8u;` takes the value that the caller gives for `NAME`;
//! - the lines from `// @if NAME` (or `!NAME`) to `// @end` stay only where `NAME` is not 0 (is 0);
//! - `// @unroll` before `for (var i = A; i < B; i++) {` writes the loop out, `i` replaced by literals, so that register
//!   arrays are indexed by constants on every driver.
//!
//! `// @buffer` and `// @stream` at the end of a declaration are for `textures.rs`: the array stays a buffer on every adapter, or on some.

use std::collections::{BTreeMap, HashSet};

/// Expands `source` with `defines`; `import` yields a shared file's text.
///
/// # Errors
/// A sentence about the line that does not fit.
pub fn preprocess(
    source: &str,
    defines: &[(String, u32)],
    import: &dyn Fn(&str) -> Option<&'static str>,
) -> Result<String, String> {
    let mut lines = Vec::new();
    include(source, import, &mut HashSet::new(), &mut lines)?;
    let given: BTreeMap<String, u32> = defines.iter().cloned().collect();
    let mut values = given.clone();
    learn_defaults(&lines, &given, &mut values);
    let mut unused: HashSet<&str> = defines.iter().map(|(name, _)| name.as_str()).collect();
    defaults(&lines, &mut values);
    let lines = choose(&lines, &given, &mut values, &mut unused)?;
    if let Some(name) = unused.into_iter().next() {
        return Err(format!("nothing is called {name}"));
    }
    let mut text = Vec::new();
    unroll(&lines, &values, &mut text)?;
    Ok(text.join("\n") + "\n")
}

fn include(
    source: &str,
    import: &dyn Fn(&str) -> Option<&'static str>,
    seen: &mut HashSet<String>,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    for line in source.lines() {
        match line.trim().strip_prefix("// @import ") {
            None => lines.push(line.to_string()),
            Some(name) => {
                let name = name.trim().trim_matches('"');
                if seen.insert(name.to_string()) {
                    let text = import(name).ok_or_else(|| format!("shaders/shared has no {name}"))?;
                    include(text, import, seen, lines)?;
                }
            }
        }
    }
    Ok(())
}

/// Adds the values of constants that nothing overrides and that stand under no condition, so that an `@if` may come before them.
fn learn_defaults(lines: &[String], given: &BTreeMap<String, u32>, values: &mut BTreeMap<String, u32>) {
    let mut depth = 0usize;
    for line in lines {
        match line.trim() {
            line if line.starts_with("// @if ") => depth += 1,
            "// @end" => depth = depth.saturating_sub(1),
            _ if depth == 0 => {
                // the line itself is rewritten later
                let _ = constant(line, given, values, &mut HashSet::new());
            }
            _ => {}
        }
    }
}

/// The literal values of constants that nobody overrides: an imported file may ask for one that its importer declares below.
fn defaults(lines: &[String], values: &mut BTreeMap<String, u32>) {
    for line in lines {
        let declared = line.strip_prefix("const ").and_then(|rest| rest.split_once(": u32 = "));
        let Some((name, value)) = declared else { continue };
        if let Ok(value) = value.trim_end_matches(';').trim_end_matches('u').parse() {
            values.entry(name.to_string()).or_insert(value);
        }
    }
}

/// Applies `@if` and overrides constants, and learns the values of integer constants.
fn choose(
    lines: &[String],
    given: &BTreeMap<String, u32>,
    values: &mut BTreeMap<String, u32>,
    unused: &mut HashSet<&str>,
) -> Result<Vec<String>, String> {
    let mut kept = Vec::new();
    let mut open: Vec<bool> = Vec::new();
    for line in lines {
        let trimmed = line.trim();
        if let Some(condition) = trimmed.strip_prefix("// @if ") {
            let (name, wanted) = match condition.trim().strip_prefix('!') {
                Some(name) => (name, false),
                None => (condition.trim(), true),
            };
            unused.remove(name);
            open.push((values.get(name).copied().unwrap_or(0) != 0) == wanted);
        } else if trimmed == "// @end" {
            open.pop().ok_or("an @end without an @if")?;
        } else if open.iter().all(|keep| *keep) {
            kept.push(constant(line, given, values, unused)?);
        }
    }
    if open.is_empty() { Ok(kept) } else { Err("an @if without its @end".to_string()) }
}

/// A line, its constant's value replaced if it declares one that is given. Where each branch of an `@if` declares one, the branch that
/// stays counts.
fn constant(
    line: &str,
    given: &BTreeMap<String, u32>,
    values: &mut BTreeMap<String, u32>,
    unused: &mut HashSet<&str>,
) -> Result<String, String> {
    let Some((head, tail)) = line.strip_prefix("const ").and_then(|rest| rest.split_once('=')) else {
        return Ok(line.to_string());
    };
    let (name, kind) = match head.split_once(':') {
        Some((name, kind)) => (name.trim(), kind.trim()),
        None => (head.trim(), ""),
    };
    if kind != "u32" {
        return Ok(line.to_string());
    }
    if let Some(value) = given.get(name) {
        unused.remove(name);
        return Ok(format!("const {name}: u32 = {value}u;"));
    }
    let expression = tail.split(';').next().unwrap_or(tail);
    if let Ok(value) = evaluate(expression, values) {
        values.insert(name.to_string(), value);
    }
    Ok(line.to_string())
}

fn unroll(lines: &[String], values: &BTreeMap<String, u32>, out: &mut Vec<String>) -> Result<(), String> {
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim() != "// @unroll" {
            out.push(lines[at].clone());
            at += 1;
            continue;
        }
        let head = lines.get(at + 1).ok_or("an @unroll without its loop")?;
        let (name, first, end) = loop_bounds(head, values)?;
        let indent = head.len() - head.trim_start().len();
        let closes = |line: &String| line.trim() == "}" && line.len() - line.trim_start().len() == indent;
        let length = lines[at + 2..].iter().position(closes).ok_or_else(|| format!("no end of: {head}"))?;
        let body = &lines[at + 2..at + 2 + length];
        for value in first..end {
            out.push(format!("{}{{", " ".repeat(indent)));
            let copy: Vec<String> = body.iter().map(|line| replace_word(line, &name, &format!("{value}u"))).collect();
            unroll(&copy, values, out)?;
            out.push(format!("{}}}", " ".repeat(indent)));
        }
        at += length + 3;
    }
    Ok(())
}

/// The variable, first value and end of `for (var i = A; i < B; i++) {`.
fn loop_bounds(head: &str, values: &BTreeMap<String, u32>) -> Result<(String, u32, u32), String> {
    let wrong = || format!("@unroll wants `for (var i = A; i < B; i++) {{`, found: {}", head.trim());
    let inner = head.trim().strip_prefix("for (var ").and_then(|rest| rest.strip_suffix("++) {")).ok_or_else(wrong)?;
    let mut pieces = inner.split(';');
    let (Some(start), Some(condition), Some(step)) = (pieces.next(), pieces.next(), pieces.next()) else {
        return Err(wrong());
    };
    let (name, first) = start.split_once('=').ok_or_else(wrong)?;
    let name = name.split(':').next().unwrap_or(name).trim();
    let (left, end) = condition.split_once('<').ok_or_else(wrong)?;
    if left.trim() != name || step.trim() != name {
        return Err(wrong());
    }
    Ok((name.to_string(), evaluate(first, values)?, evaluate(end, values)?))
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn replace_word(line: &str, word: &str, with: &str) -> String {
    let (bytes, mut out, mut at) = (line.as_bytes(), String::with_capacity(line.len()), 0);
    while let Some(found) = line[at..].find(word) {
        let (start, end) = (at + found, at + found + word.len());
        let before = start > 0 && (is_word(bytes[start - 1]) || bytes[start - 1] == b'.');
        let after = end < bytes.len() && is_word(bytes[end]);
        out.push_str(&line[at..start]);
        out.push_str(if before || after { word } else { with });
        at = end;
    }
    out + &line[at..]
}

/// Makes the integers of the uniform block `dims` look as if they varied, by adding `workgroup_id.z / 4`, which is always 0: the third
/// dimension of a grid is 1, or the number of members that it serves (`members.rs`).
///
/// Mesa's software rasteriser inlines the values of uniforms that branches and loops depend on where that halves a shader, and then
/// compiles the result anew at EVERY dispatch: milliseconds each. What is not provably uniform it leaves alone.
pub fn hide_uniforms(wgsl: &str) -> String {
    let Some((_, fields)) = wgsl.split_once("struct Dims {") else { return wgsl.to_string() };
    let fields = fields.split('}').next().unwrap_or_default();
    let code = fields.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let integers: HashSet<&str> = code
        .split(',')
        .filter_map(|field| field.split_once(':'))
        .filter(|(_, kind)| kind.trim() == "u32")
        .map(|(name, _)| name.trim())
        .collect();
    let entry = wgsl.find("fn main(").and_then(|start| Some((start, start + wgsl[start..].find(") {")? + 3)));
    let (Some((start, body)), false) = (entry, integers.is_empty()) else { return wgsl.to_string() };
    let arguments = &wgsl[start..body];
    let Some(group) = arguments.split("@builtin(workgroup_id)").nth(1).and_then(|rest| rest.split(':').next()) else {
        return wgsl.to_string();
    };
    let setting = format!("\n    opaque_zero = {}.z >> 2u;\n", group.trim());
    let text = format!("{}{setting}{}", &wgsl[..body], &wgsl[body..]);
    let (mut out, mut rest) = (String::from("var<private> opaque_zero: u32;\n"), text.as_str());
    while let Some(found) = rest.find("dims.") {
        let name: String = rest[found + 5..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let end = found + 5 + name.len();
        let part_of_word = rest[..found].bytes().last().is_some_and(is_word);
        out.push_str(&rest[..found]);
        if integers.contains(name.as_str()) && !part_of_word {
            out.push_str(&format!("(dims.{name} + opaque_zero)"));
        } else {
            out.push_str(&rest[found..end]);
        }
        rest = &rest[end..];
    }
    out + rest
}

/// Evaluates `+ - * / %`, `min` and `max` over literals, constants and parentheses.
fn evaluate(expression: &str, values: &BTreeMap<String, u32>) -> Result<u32, String> {
    let mut parser = Parser { text: expression.as_bytes(), at: 0, values };
    let value = parser.sum();
    match value {
        Some(value) if parser.peek().is_none() => u32::try_from(value).map_err(|_| format!("{expression} is negative")),
        _ => Err(format!("cannot evaluate: {}", expression.trim())),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    values: &'a BTreeMap<String, u32>,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn sum(&mut self) -> Option<i64> {
        let mut value = self.product()?;
        while let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            let right = self.product()?;
            value = if sign == b'+' { value.checked_add(right)? } else { value.checked_sub(right)? };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<i64> {
        let mut value = self.atom()?;
        while let Some(sign @ (b'*' | b'/' | b'%')) = self.peek() {
            self.at += 1;
            let right = self.atom()?;
            value = match sign {
                b'*' => value.checked_mul(right)?,
                b'/' => value.checked_div(right)?,
                _ => value.checked_rem(right)?,
            };
        }
        Some(value)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    fn atom(&mut self) -> Option<i64> {
        if self.peek()? == b'(' {
            self.at += 1;
            let value = self.sum()?;
            self.expect(b')')?;
            return Some(value);
        }
        let start = self.at;
        while self.text.get(self.at).copied().is_some_and(is_word) {
            self.at += 1;
        }
        let word = std::str::from_utf8(&self.text[start..self.at]).ok()?;
        if word == "min" || word == "max" {
            self.expect(b'(')?;
            let left = self.sum()?;
            self.expect(b',')?;
            let right = self.sum()?;
            self.expect(b')')?;
            return Some(if word == "min" { left.min(right) } else { left.max(right) });
        }
        let number = word.strip_suffix('u').unwrap_or(word).parse::<i64>().ok();
        number.or_else(|| self.values.get(word).map(|value| i64::from(*value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str, defines: &[(&str, u32)]) -> Result<String, String> {
        let defines: Vec<_> = defines.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        preprocess(source, &defines, &|name| (name == "a.wgsl").then_some("fn shared() {}"))
    }

    #[test]
    fn constants_take_given_values_and_feed_others() {
        let text = run(
            "const A: u32 = 2u;\nconst B: u32 = A * 4u;\n// @unroll\nfor (var i = 0u; i < B / 8u; i++) {\n  x[i] = i.i;\n}",
            &[("A", 6)],
        );
        assert_eq!(text.unwrap().matches("x[").count(), 3);
    }

    #[test]
    fn a_condition_may_come_before_its_constant() {
        let source = "// @if A\nkept\n// @end\nconst A: u32 = 1u;";
        assert_eq!(run(source, &[]).unwrap(), "kept\nconst A: u32 = 1u;\n");
        assert_eq!(run(source, &[("A", 0)]).unwrap(), "const A: u32 = 0u;\n");
    }

    #[test]
    fn of_two_branches_the_one_that_stays_gives_the_constant() {
        let source = "// @if A\nconst B: u32 = 4u;\n// @end\n// @if !A\nconst B: u32 = 1u;\n// @end\n// @unroll\nfor (var i = 0u; i < B; i++) {\n  x[i];\n}\nconst A: u32 = 1u;";
        assert_eq!(run(source, &[]).unwrap().matches("x[").count(), 4);
        let text = run(source, &[("A", 0)]).unwrap();
        assert!(text.contains("const B: u32 = 1u;") && text.matches("x[").count() == 1, "{text}");
    }

    #[test]
    fn unrolling_replaces_whole_words_and_nests() {
        let source = "// @unroll\nfor (var i = 0u; i < 2u; i++) {\n  // @unroll\n  for (var j = i; j < 2u; j++) {\n    y[i][j] = row_i + i;\n  }\n}";
        let text = run(source, &[]).unwrap();
        assert!(text.contains("y[0u][1u] = row_i + 0u;") && text.contains("y[1u][1u]"));
        assert_eq!(text.matches("row_i").count(), 3);
    }

    #[test]
    fn hidden_uniforms_are_the_integers_of_dims_only() {
        let source = "struct Dims { len: u32, // number\n scale: f32 }\nfn main(@builtin(workgroup_id) g: vec3<u32>) {\n if (g.x < dims.len) { y = dims.scale * my_dims.len; }\n}";
        let text = hide_uniforms(source);
        assert!(text.contains("opaque_zero = g.z >> 2u;") && text.contains("(dims.len + opaque_zero)"));
        assert!(text.contains("dims.scale * my_dims.len"));
    }

    #[test]
    fn conditions_imports_and_mistakes() {
        let source =
            "// @import \"a.wgsl\"\n// @import \"a.wgsl\"\n// @if SAVE\nkept\n// @end\n// @if !SAVE\nother\n// @end";
        assert_eq!(run(source, &[("SAVE", 1)]).unwrap(), "fn shared() {}\nkept\n");
        assert_eq!(run(source, &[]).unwrap(), "fn shared() {}\nother\n");
        assert!(run("x", &[("NOPE", 1)]).is_err());
        assert!(run("// @import \"b.wgsl\"", &[]).is_err());
        assert!(run("// @if A\nx", &[]).is_err());
        assert!(run("// @unroll\nwhile (true) {\n}", &[]).is_err());
    }
}
