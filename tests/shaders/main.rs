//! Every kernel, in every variant that ops take on any kind of device: naga reads it with portable capabilities only, writes it in
//! every language that a driver could ask for, and it stays within WebGPU's default limits. Tint, where it is installed, checks
//! conformance and uniformity as well.

mod cooperative;
#[path = "../support/noop.rs"]
mod noop;
mod tint;
mod translate;
mod variants;

use limbic::gpu::{BindingKind, KernelKey, Members, TextureReads, reflect};
use limbic::shaders::{KERNELS, SHARED};
use std::collections::BTreeSet;
use std::path::Path;

fn files_in(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the shader folder");
    let names = entries.map(|entry| entry.expect("an entry").path());
    names
        .filter(|path| path.extension().is_some_and(|ending| ending == "wgsl"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_file_is_registered_and_every_registered_name_is_a_file() {
    let names = |files: &[(&str, &str)]| files.iter().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(files_in("shaders"), names(KERNELS), "shaders/ (left) and KERNELS in src/shaders.rs (right) differ");
    assert_eq!(files_in("shaders/shared"), names(SHARED), "shaders/shared/ (left) and SHARED (right) differ");
}

#[test]
fn every_file_begins_with_what_it_computes() {
    for (name, text) in KERNELS.iter().chain(SHARED) {
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("// ").map_or(0, |line| line.split_whitespace().count());
        assert!(words >= 3, "{name}.wgsl begins with '{first}', which does not say what it computes");
    }
}

#[test]
fn every_shared_file_is_imported() {
    let texts: String = KERNELS.iter().chain(SHARED).map(|(_, text)| *text).collect();
    // what src/gpu/halves.rs adds to kernels itself
    for (name, _) in SHARED.iter().filter(|(name, _)| *name != "halves") {
        assert!(texts.contains(&format!("// @import \"{name}.wgsl\"")), "nothing imports shared/{name}.wgsl");
    }
}

/// Every kernel with its defaults, for one member and for several, and every variant that the zoo's plans take.
fn keys() -> BTreeSet<KernelKey> {
    let defaults = KERNELS.iter().map(|(name, _)| KernelKey::new(name, &[]));
    // as the optimiser takes them in full precision, on software adapters and on GPUs
    let norm = |lanes, subgroup| {
        let team = [("LANES", lanes), ("TEAMS", 1), ("TREE", 1 - subgroup), ("SUBGROUP", subgroup)];
        KernelKey::new("gradient_norm", &team)
    };
    let scaling = KernelKey::new("gradient_clip", &[("SCALED", 0)]);
    let updates = [scaling, norm(8, 1), norm(64, 0), KernelKey::new("optimizer", &[("LANES", 8)])];
    let grouped = defaults.clone().filter_map(|key| with_members(&key));
    let all = defaults.chain(updates).chain(grouped).chain(variants::taken());
    all.chain(cooperative::keys()).collect()
}

/// Kernels of one workgroup, of one that never asks which it is, and of arrays that WGSL itself calls halves.
const WITHOUT_MEMBERS: [&str; 3] = ["constant", "gradient_clip", "matmul_cooperative"];

/// The kernel with all being members' own that may be, if it can have members.
fn with_members(key: &KernelKey) -> Option<KernelKey> {
    let wgsl = key.wgsl().unwrap_or_else(|error| panic!("{error}"));
    let (_, reflection) = reflect(&wgsl).unwrap_or_else(|error| panic!("{key}: {error}"));
    let mut members = Members::default();
    for binding in &reflection.bindings {
        match &binding.kind {
            BindingKind::Storage { .. } => members.arrays.push(binding.name.clone()),
            BindingKind::Uniform { fields } if binding.name == "dims" => {
                let own = fields.iter().filter(|field| field.float || field.name == "node");
                members.scalars = own.map(|field| field.name.clone()).collect();
            }
            _ => {}
        }
    }
    members.arrays.sort();
    members.scalars.sort();
    (!WITHOUT_MEMBERS.contains(&key.shader)).then(|| KernelKey { members, ..key.clone() })
}

/// Whether the kernel may use subgroup operations: by its name, or by the constant that switches them on.
fn uses_subgroups(key: &KernelKey) -> bool {
    let switched_on = key.defines.iter().any(|(name, value)| name == "SUBGROUP" && *value != 0);
    key.shader.ends_with("_subgroup") || key.shader == "matmul_cooperative" || switched_on
}

/// What is wrong with the kernels after `change`.
fn faults(change: impl Fn(String) -> String) -> Vec<String> {
    let fault_of = |key: &KernelKey| match key.wgsl() {
        Ok(wgsl) => translate::faults(&change(wgsl), uses_subgroups(key)),
        Err(error) => vec![error.to_string()],
    };
    let keys = keys();
    println!("{} variants of {} kernels", keys.len(), KERNELS.len());
    keys.iter().flat_map(|key| fault_of(key).into_iter().map(move |fault| format!("{key}: {fault}"))).collect()
}

#[test]
fn every_variant_validates_translates_and_is_portable() {
    let faults = faults(|wgsl| wgsl);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// As software adapters get them.
#[test]
fn every_variant_validates_translates_and_is_portable_where_it_reads_through_textures() {
    let reads = TextureReads::within(&wgpu::Limits::default()).expect("the default limits allow it");
    let faults = faults(|wgsl| reads.rewrite(&limbic::gpu::hide_uniforms(&wgsl)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_variants_cover_every_kernel_that_plans_use() {
    // Kernels that no graph reaches: those that src/train/optimizer.rs and src/train/running.rs launch themselves.
    const OUTSIDE_PLANS: [&str; 5] = ["accumulate", "assign", "gradient_clip", "gradient_norm", "optimizer"];
    let others = cooperative::keys();
    let taken: BTreeSet<&str> = variants::taken().iter().chain(&others).map(|key| key.shader).collect();
    let missing: Vec<&str> = KERNELS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !taken.contains(name) && !OUTSIDE_PLANS.contains(name))
        .collect();
    assert!(missing.is_empty(), "no graph in tests/shaders/variants.rs uses {missing:?}: add one that does");
}

#[test]
fn tint_accepts_every_variant_where_it_is_installed() {
    let Some(tint) = tint::Tint::find() else {
        println!("tint is not installed: conformance to the standard and uniformity were not checked");
        return;
    };
    let mut faults = Vec::new();
    // the standard has no cooperative matrices yet
    for key in keys().iter().filter(|key| key.shader != "matmul_cooperative") {
        let wgsl = key.wgsl().unwrap_or_else(|error| panic!("{error}"));
        faults.extend(tint.check(&wgsl, uses_subgroups(key)).err().map(|fault| format!("{key}:\n{fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
