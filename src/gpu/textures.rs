//! Reading operands through textures, on software adapters.
//!
//! Mesa's rasteriser reads a storage buffer lane by lane in a loop, and puts each lane's value into its vector register by way of
//! the stack (0.3 billion floats a second on two cores without AVX-512, 1.0 with it). A texel of four 32-bit values it reads as one
//! vector per lane, and transposes eight of them in registers: 4 to 10 times as fast. Copying a buffer into a texture is a plain
//! copy of memory. So there a kernel's read-only arrays become textures, by a rewrite of its text: ops, plans and shader files know
//! nothing of it. The plan copies each operand before the dispatch that reads it (see `plan/texture_plan.rs`).

use super::preprocess::is_word;

/// Bytes of a texel: four 32-bit values.
pub const TEXEL: u64 = 16;
/// Bits, whatever they mean: nothing may turn them into other floats.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Uint;
/// What the line of a declaration ends with whose array is read in few places, or too few times to be worth a copy.
const STAYS: &str = "// @buffer";
/// And that of one whose elements are read once, neighbours by neighbours: a copy is as long a way as the reading itself.
const STREAMS: &str = "// @stream";

/// How kernels read their operands through textures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextureReads {
    /// Texels in a row, a power of two: an array longer than that goes on in the next row.
    pub row: u32,
    /// The most textures that one kernel may read.
    pub per_kernel: u32,
    /// Whether arrays of which each element is read once go through textures as well. Where the processor has AVX-512 Mesa reads buffers
    /// so much faster that the copy does not pay (GELU of 4 Mi elements: 5.4 against 6.4 ms).
    pub streams: bool,
}

/// An array of a kernel.
pub(super) struct Declaration {
    /// The line, without its comment.
    pub(super) line: String,
    pub(super) name: String,
    /// The element's type as the line has it, which may be an alias.
    pub(super) declared_kind: String,
    pub(super) element: Element,
    /// Whether the kernel may write it.
    pub(super) written: bool,
    /// Whether it stays a buffer.
    stays: bool,
    /// Whether each of its elements is read once.
    streams: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Element {
    pub(super) kind: &'static str,
    /// Its size in 4-byte words: 1, 2 or 4.
    pub(super) words: u32,
}

const ELEMENTS: [Element; 6] = [
    Element { kind: "f32", words: 1 },
    Element { kind: "u32", words: 1 },
    Element { kind: "vec2<f32>", words: 2 },
    Element { kind: "vec2<u32>", words: 2 },
    Element { kind: "vec4<f32>", words: 4 },
    Element { kind: "vec4<u32>", words: 4 },
];

impl TextureReads {
    /// How to read on a device with these limits, if they allow it.
    pub fn within(limits: &wgpu::Limits) -> Option<Self> {
        // the shortest rows with which every array that a buffer binding holds fits a texture
        let side = limits.max_texture_dimension_2d;
        let fits = |row: &u32| extent(limits.max_storage_buffer_binding_size, *row).height <= side;
        let row = (10..=side.checked_ilog2()?).map(|power| 1 << power).find(fits)?;
        let per_kernel = limits.max_storage_textures_per_shader_stage;
        Some(TextureReads { row, per_kernel, streams: !has_avx512() })
    }

    /// Names of the arrays of `wgsl` that it reads through textures, in order of declaration.
    pub fn names(&self, wgsl: &str) -> Vec<String> {
        self.declarations(wgsl).into_iter().map(|declaration| declaration.name).collect()
    }

    /// `wgsl` with those arrays as textures.
    pub fn rewrite(&self, wgsl: &str) -> String {
        let declarations = self.declarations(wgsl);
        let code = |line: &str| line.split("//").next().unwrap_or(line).trim_end().to_string() + "\n";
        let mut text: String = wgsl.lines().map(code).collect();
        for Declaration { line, name, element, .. } in &declarations {
            let place = line.split("var<").next().unwrap_or_default();
            text = text.replace(line.as_str(), &format!("{place}var {name}: texture_storage_2d<rgba32uint, read>;"));
            // the index may be signed
            let call = |index: &str| format!("{name}_through_texture(u32({index}))");
            text = indexed(&text, name, &call) + &self.reader(name, *element);
        }
        text
    }

    fn declarations(&self, wgsl: &str) -> Vec<Declaration> {
        let through = |array: &Declaration| !array.written && !array.stays && (self.streams || !array.streams);
        let read_only = arrays(wgsl).into_iter().filter(through);
        read_only.take(self.per_kernel as usize).collect()
    }

    /// The function that stands for `name[i]`.
    fn reader(&self, name: &str, Element { kind, words }: Element) -> String {
        let (mask, shift) = (self.row - 1, self.row.ilog2());
        let (texel, words_of_it) = match words {
            1 => ("i >> 2u", "texel[i & 3u]"),
            2 => ("i >> 1u", "select(texel.xy, texel.zw, (i & 1u) != 0u)"),
            _ => ("i", "texel"),
        };
        format!(
            "fn {name}_through_texture(i: u32) -> {kind} {{
    let place = {texel};
    let texel = textureLoad({name}, vec2<u32>(place & {mask}u, place >> {shift}u));
    return bitcast<{kind}>({words_of_it});
}}
"
        )
    }
}

/// Of the processor that a software adapter runs on.
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The arrays of 32-bit values that `wgsl` declares, in order.
pub(super) fn arrays(wgsl: &str) -> Vec<Declaration> {
    let alias = |kind: &str| {
        let head = format!("alias {kind} = ");
        wgsl.lines().find_map(|line| Some(line.trim().strip_prefix(&head)?.split(';').next()?.to_string()))
    };
    let declaration = |line: &str| {
        let (access, declared) = line.split_once("var<storage, ")?.1.split_once("> ")?;
        let (name, kind) = declared.split_once(": array<")?;
        let declared_kind = kind.split(">;").next()?.to_string();
        let kind = alias(&declared_kind).unwrap_or_else(|| declared_kind.clone());
        let element = *ELEMENTS.iter().find(|element| element.kind == kind)?;
        let (written, stays, streams) = (access == "read_write", line.contains(STAYS), line.contains(STREAMS));
        let line = line.split("//").next()?.trim_end().to_string();
        Some(Declaration { line, name: name.to_string(), declared_kind, element, written, stays, streams })
    };
    wgsl.lines().filter_map(declaration).collect()
}

/// The text without comments, but for what is read in them here.
pub(super) fn without_comments(wgsl: &str) -> String {
    let code = |line: &str| {
        let kept = [STAYS, STREAMS].into_iter().find(|mark| line.contains(mark)).unwrap_or_default();
        format!("{} {kept}", line.split("//").next().unwrap_or(line).trim_end()).trim_end().to_string() + "\n"
    };
    wgsl.lines().map(code).collect()
}

/// `text` with what `make` makes of the index for every `name[index]`.
pub(super) fn indexed(text: &str, name: &str, make: &dyn Fn(&str) -> String) -> String {
    let head = format!("{name}[");
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(found) = rest.find(&head) {
        let inner = &rest[found + head.len()..];
        out.push_str(&rest[..found]);
        let part_of_word = out.bytes().last().is_some_and(|byte| is_word(byte) || byte == b'.');
        match closing(inner).filter(|_| !part_of_word) {
            Some(end) => {
                out.push_str(&make(&indexed(&inner[..end], name, make)));
                rest = &inner[end + 1..];
            }
            None => {
                out.push_str(&head);
                rest = inner;
            }
        }
    }
    out + rest
}

/// Where the bracket that is open at the start of `text` closes.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.bytes().position(|byte| {
        depth += i32::from(byte == b'[') - i32::from(byte == b']');
        depth == 0
    })
}

/// Texels and rows of the texture that holds `bytes`.
///
/// The number of rows is never a power of two: Mesa compiles a kernel anew for each combination of powers and others among the sides
/// of the textures bound to it.
pub(crate) fn extent(bytes: u64, row: u32) -> wgpu::Extent3d {
    let rows = bytes.div_ceil(TEXEL * u64::from(row)).max(3);
    let rows = u32::try_from(rows + u64::from(rows.is_power_of_two())).unwrap_or(u32::MAX);
    wgpu::Extent3d { width: row, height: rows, depth_or_array_layers: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: TextureReads = TextureReads { row: 4096, per_kernel: 4, streams: true };

    #[test]
    fn reads_become_calls_and_the_rest_stays() {
        let source = "alias Part = vec4<f32>;
@group(0) @binding(0) var<storage, read> x: array<Part>; // x[0] is the first
@group(0) @binding(1) var<storage, read> table: array<f32>; // @buffer
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
fn f(i: i32) { let max_x = array(1, 2); out[i] = x[ids[x[i].x + max_x[0]]] * table[i] + dims.x[1]; }
";
        assert_eq!(READS.names(source), ["x", "ids"]);
        let text = READS.rewrite(source);
        assert!(text.contains("@group(0) @binding(0) var x: texture_storage_2d<rgba32uint, read>;\n"), "{text}");
        assert!(text.contains("@binding(1) var<storage, read> table: array<f32>;"), "{text}");
        let line = "out[i] = x_through_texture(u32(ids_through_texture(u32(x_through_texture(u32(i)).x + max_x[0])))) * table[i] + dims.x[1]";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("fn ids_through_texture(i: u32) -> u32 {"), "{text}");
    }

    #[test]
    fn no_more_arrays_than_a_kernel_may_have_textures() {
        let line = |index: u32| format!("@group(0) @binding({index}) var<storage, read> v{index}: array<u32>;\n");
        let source: String = (0..6).map(line).collect();
        assert_eq!(READS.names(&source).len(), 4);
        let text = READS.rewrite(&source);
        assert_eq!(text.matches("texture_storage_2d").count(), 4);
        assert!(text.contains("var<storage, read> v5: array<u32>;"));
    }

    #[test]
    fn textures_hold_their_bytes_in_whole_rows() {
        let rows = |bytes| extent(bytes, 1024).height;
        assert_eq!([16, 3 << 14, (3 << 14) + 16, 4 << 14, 5 << 14].map(rows), [3, 3, 5, 5, 5]);
    }
}
