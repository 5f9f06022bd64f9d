//! Which adapter is taken, and what is said where none fits.

use limbic::Error;
use limbic::gpu::{Gpu, GpuOptions, adapters};

fn open(adapter: &str) -> limbic::Result<Gpu> {
    Gpu::with_options(&GpuOptions { adapter: Some(adapter.to_string()), ..GpuOptions::default() })
}

#[test]
fn adapters_are_numbered_and_the_software_ones_come_last() {
    let found = adapters();
    assert!(!found.is_empty(), "a Vulkan driver is needed; run scripts/setup.sh");
    for (index, summary) in found.iter().enumerate() {
        assert_eq!(summary.index, index);
        assert_eq!(summary.unusable, summary.capabilities.shortfall());
    }
    let software: Vec<bool> = found.iter().map(|summary| summary.capabilities.software).collect();
    assert!(software.is_sorted(), "a software adapter stands before a GPU: {software:?}");
}

#[test]
fn an_adapter_is_chosen_by_number_or_by_part_of_its_name() {
    let found = adapters();
    let name = &found[0].info.name;
    assert_eq!(&open("0").expect("number 0").info().name, name);
    let part: String = name.chars().take(4).collect::<String>().to_uppercase();
    assert_eq!(&open(&part).expect("part of a name, in capitals").info().name, name);
}

#[test]
fn a_wish_that_no_adapter_fits_is_answered_with_the_list() {
    let found = adapters();
    for wish in ["99", "no such adapter"] {
        match open(wish) {
            Err(Error::Adapter(message)) => {
                assert!(
                    message.starts_with(&format!("'{wish}' names none of these: 0: {}", found[0].info.name)),
                    "{message}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a device without the limits would be told: each limit that kernels count on is compared.
#[test]
fn every_limit_that_kernels_count_on_is_checked() {
    let good = adapters().swap_remove(0).capabilities;
    type Lower = fn(&mut wgpu::Limits);
    let lowered: [(&str, Lower); 6] = [
        ("storage buffers", |limits| limits.max_storage_buffers_per_shader_stage = 7),
        ("workgroup memory", |limits| limits.max_compute_workgroup_storage_size = 16383),
        ("invocations", |limits| limits.max_compute_invocations_per_workgroup = 255),
        ("first axis", |limits| limits.max_compute_workgroup_size_x = 255),
        ("uniform buffers", |limits| limits.max_uniform_buffers_per_shader_stage = 3),
        ("workgroups", |limits| limits.max_compute_workgroups_per_dimension = 65534),
    ];
    assert_eq!(good.shortfall(), None);
    for (what, lower) in lowered {
        let mut poor = good.clone();
        lower(&mut poor.limits);
        let why = poor.shortfall().unwrap_or_else(|| panic!("too few {what} are not noticed"));
        assert!(why.contains(what), "{why}");
    }
}
