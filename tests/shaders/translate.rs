//! One shader through naga: what it may use, and every language that a driver could ask for.

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, ShaderStage, TypeInner, VectorSize, back, front};
use std::panic::{AssertUnwindSafe, catch_unwind};

const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_STORAGE_TEXTURES: usize = 4;
const MAX_WORKGROUP_BYTES: u32 = 16384;
const MAX_INVOCATIONS: u32 = 256;
const MAX_UNIFORM_BYTES: u32 = 1024;

/// Everything that is wrong with `wgsl`, empty if nothing is. `subgroups` allows subgroup operations.
pub fn faults(wgsl: &str, subgroups: bool) -> Vec<String> {
    let (module, info) = match validate(wgsl, subgroups) {
        Ok(pair) => pair,
        Err(fault) => return vec![fault],
    };
    let mut faults = limits(&module);
    type Write = fn(&Module, &naga::valid::ModuleInfo) -> Result<usize, String>;
    let writers: [(&str, Write); 4] = [("SPIR-V", spirv), ("MSL 2.4", msl), ("HLSL 6.2", hlsl), ("GLSL 460", glsl)];
    // naga has no cooperative matrices in the last two, and limbic asks for them only through Vulkan and Metal
    let lacking = if declared(wgsl).contains(Capabilities::COOPERATIVE_MATRIX) { &writers[2..] } else { &[] };
    for (language, write) in writers {
        let written = catch_unwind(AssertUnwindSafe(|| write(&module, &info)));
        if lacking.iter().any(|(other, _)| *other == language) {
            faults.extend(
                matches!(written, Ok(Ok(_))).then(|| format!("{language}: was written: it may be used there now")),
            );
            continue;
        }
        match written {
            Ok(Ok(0)) => faults.push(format!("{language}: nothing was written")),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => faults.push(format!("{language}: {error}")),
            Err(_) => faults.push(format!("{language}: the writer panicked")),
        }
    }
    faults
}

/// The portable capabilities and those that the file declares.
pub fn declared(wgsl: &str) -> Capabilities {
    // halves in words are WGSL's own; naga asks for this where a backend is too old for them
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SHADER_FLOAT16, wgsl.contains("enable f16;"));
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, wgsl.contains("enable wgpu_cooperative_matrix;"));
    capabilities
}

/// Parses and validates with no more than the portable capabilities and what the file declares.
pub fn validate(wgsl: &str, subgroups: bool) -> Result<(Module, naga::valid::ModuleInfo), String> {
    let mut capabilities = declared(wgsl);
    if subgroups {
        capabilities |= Capabilities::SUBGROUP;
    }
    let options = front::wgsl::Options { parse_doc_comments: false, capabilities };
    let module = front::wgsl::Frontend::new_with_options(options)
        .parse(wgsl)
        .map_err(|error| format!("does not parse: {}", error.emit_to_string(wgsl)))?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    if subgroups {
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    }
    let info =
        validator.validate(&module).map_err(|error| format!("does not validate: {}", error.emit_to_string(wgsl)))?;
    Ok((module, info))
}

/// What goes beyond WebGPU's default limits and our own rules.
fn limits(module: &Module) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |broken: bool, what: String| {
        if broken {
            faults.push(what);
        }
    };
    let entries: Vec<&str> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
    fault(entries != ["main"], format!("entry points are {entries:?}, not main alone"));
    for entry in &module.entry_points {
        let [x, y, z] = entry.workgroup_size;
        fault(y != 1 || z != 1, format!("its workgroup is {x} x {y} x {z}: only one dimension is portable"));
        fault(x > MAX_INVOCATIONS, format!("{x} invocations"));
    }
    let mut layouter = naga::proc::Layouter::default();
    if let Err(error) = layouter.update(module.to_ctx()) {
        return vec![error.to_string()];
    }
    let (mut bindings, mut storage, mut textures, mut shared) = (Vec::new(), 0, 0, 0);
    for (_, global) in module.global_variables.iter() {
        let name = global.name.as_deref().unwrap_or("?");
        if let Some(binding) = &global.binding {
            fault(binding.group != 0, format!("'{name}' is not in group 0"));
            bindings.push(binding.binding);
        }
        match global.space {
            AddressSpace::Storage { .. } => storage += 1,
            AddressSpace::WorkGroup => shared += layouter[global.ty].size,
            AddressSpace::Uniform => uniform_faults(module, global.ty, name, &mut fault),
            AddressSpace::Handle => textures += 1,
            AddressSpace::Private => {}
            other => fault(true, format!("'{name}' is in the address space {other:?}")),
        }
    }
    bindings.sort_unstable();
    let dense: Vec<u32> = (0..bindings.len() as u32).collect();
    fault(bindings != dense, format!("bindings are {bindings:?}, not 0, 1, 2, ..."));
    fault(storage > MAX_STORAGE_BUFFERS, format!("{storage} storage buffers"));
    fault(textures > MAX_STORAGE_TEXTURES, format!("{textures} textures"));
    fault(shared > MAX_WORKGROUP_BYTES, format!("{shared} bytes of workgroup memory"));
    faults
}

/// Uniform blocks are written word by word from Rust: 4-byte scalars only, or four of them, one for each member of a launch.
fn uniform_faults(module: &Module, ty: naga::Handle<naga::Type>, name: &str, fault: &mut impl FnMut(bool, String)) {
    let inner = &module.types[ty].inner;
    let TypeInner::Struct { members, span } = inner else {
        return fault(true, format!("the uniform '{name}' is no struct"));
    };
    fault(*span > MAX_UNIFORM_BYTES, format!("the uniform '{name}' has {span} bytes"));
    for member in members {
        let word = matches!(module.types[member.ty].inner,
            TypeInner::Scalar(scalar) | TypeInner::Vector { size: VectorSize::Quad, scalar }
                if scalar.width == 4 && scalar.kind != ScalarKind::Bool);
        let member = member.name.as_deref().unwrap_or("?");
        fault(!word, format!("'{name}.{member}' is no 4-byte number"));
    }
}

fn spirv(module: &Module, info: &naga::valid::ModuleInfo) -> Result<usize, String> {
    let pipeline = back::spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".to_string() };
    let options = back::spv::Options { lang_version: (1, 3), ..Default::default() };
    back::spv::write_vec(module, info, &options, Some(&pipeline))
        .map(|words| words.len())
        .map_err(|error| error.to_string())
}

fn msl(module: &Module, info: &naga::valid::ModuleInfo) -> Result<usize, String> {
    let options = back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    back::msl::write_string(module, info, &options, &back::msl::PipelineOptions::default())
        .map(|(text, _)| text.len())
        .map_err(|error| error.to_string())
}

fn hlsl(module: &Module, info: &naga::valid::ModuleInfo) -> Result<usize, String> {
    let options = back::hlsl::Options {
        shader_model: back::hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let pipeline = back::hlsl::PipelineOptions::default();
    let mut text = String::new();
    let written = back::hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map(|_| ());
    written.map(|()| text.len()).map_err(|error| error.to_string())
}

fn glsl(module: &Module, info: &naga::valid::ModuleInfo) -> Result<usize, String> {
    let options = back::glsl::Options { version: back::glsl::Version::Desktop(460), ..Default::default() };
    let pipeline = back::glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: "main".to_string(),
        multiview: None,
    };
    let mut text = String::new();
    back::glsl::Writer::new(&mut text, module, info, &options, &pipeline, Default::default())
        .and_then(|mut writer| writer.write())
        .map(|_| text.len())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::faults;

    /// A shader with `head` before and `body` in its only function.
    fn shader(head: &str, size: &str, body: &str) -> String {
        format!("{head}\n@compute @workgroup_size({size}) fn main() {{ {body} }}")
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let good = "@group(0) @binding(0) var<storage, read_write> x: array<f32>;";
        assert_eq!(faults(&shader(good, "64", "x[0] = 1.0;"), false), Vec::<String>::new());
        for (head, size, body, expected) in [
            (good, "64", "x[0] = ;", "does not parse"),
            (good, "64", "x[0] = subgroupAdd(1.0);", "does not validate"),
            (good, "8, 8", "x[0] = 1.0;", "one dimension"),
            (good, "512", "x[0] = 1.0;", "512 invocations"),
            ("@group(0) @binding(1) var<storage, read_write> x: array<f32>;", "64", "x[0] = 1.0;", "bindings are [1]"),
            ("@group(1) @binding(0) var<storage, read_write> x: array<f32>;", "64", "x[0] = 1.0;", "group 0"),
            ("var<workgroup> t: array<f32, 5000>;", "64", "t[0] = 1.0;", "20000 bytes"),
            ("struct D { v: vec2<u32> }\n@group(0) @binding(0) var<uniform> d: D;", "64", "_ = d.v;", "'d.v' is no"),
            (
                "struct D { v: array<vec4<u32>, 70> }\n@group(0) @binding(0) var<uniform> d: D;",
                "64",
                "_ = d.v[0];",
                "1120 bytes",
            ),
        ] {
            let found = faults(&shader(head, size, body), false);
            assert!(found.iter().any(|fault| fault.contains(expected)), "expected '{expected}' among {found:?}");
        }
        let nine = |i: u32| format!("@group(0) @binding({i}) var<storage, read> b{i}: array<f32>;\n");
        let found = faults(&shader(&(0..9).map(nine).collect::<String>(), "64", ""), false);
        assert_eq!(found, ["9 storage buffers"]);
    }
}
