//! Cooperative matrices (tensor cores, SIMD-group matrices): an experimental feature of wgpu, for products of halves in mixed precision.
//!
//! Drivers and naga's translation are young there: wrong products have been seen that differed from run to run. So nothing uses them
//! unless [`super::GpuOptions::cooperative_matrices`] asks for them, and then only after this device has multiplied matrices of
//! several shapes right, many times over, to the same bits. The kernel is `matmul_cooperative.wgsl`.

use std::time::Duration;

/// Whether products in mixed precision run on cooperative matrices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cooperative {
    /// Nobody asked for them.
    #[default]
    Off,
    /// They were asked for, and are not used for this reason.
    Refused(String),
    /// They passed the self-test.
    On {
        /// What they are like.
        matrices: CooperativeMatrices,
        /// How long the self-test took.
        self_test: Duration,
    },
}

/// Matrices of halves that a subgroup multiplies at once, their sums being of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CooperativeMatrices {
    /// Their rows and columns: 8 or 16.
    pub tile: u32,
    /// Invocations of a subgroup.
    pub lanes: u32,
}

/// Everything that the kernel needs of a device.
pub(super) const FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16).union(wgpu::Features::SUBGROUP);

impl CooperativeMatrices {
    /// What `adapter` offers, or why that is not enough.
    pub(super) fn of(adapter: &wgpu::Adapter) -> Result<Self, String> {
        if !adapter.features().contains(FEATURES) {
            return Err("the adapter has none".to_string());
        }
        Self::suitable(&adapter.get_info(), &adapter.cooperative_matrix_properties())
    }

    /// The largest of `offered` that the kernel is written for.
    fn suitable(info: &wgpu::AdapterInfo, offered: &[wgpu::CooperativeMatrixProperties]) -> Result<Self, String> {
        use wgpu::CooperativeScalarType::{F16, F32};
        let lanes = match info.backend {
            // SIMD groups of 32 on all of Apple's GPUs, whatever range is reported
            wgpu::Backend::Metal => 32,
            wgpu::Backend::Vulkan if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_min_size,
            wgpu::Backend::Vulkan => {
                return Err(format!(
                    "its subgroups are {} to {} wide, the kernel needs one fixed width",
                    info.subgroup_min_size, info.subgroup_max_size
                ));
            }
            // naga has no such matrices in HLSL and GLSL
            other => return Err(format!("there are none in {other}")),
        };
        if !(1..=64).contains(&lanes) {
            return Err(format!("its subgroups are {lanes} wide, 64 is the most that fits a workgroup"));
        }
        let fits = |tile: &u32| {
            offered.iter().any(|matrix| {
                [matrix.m_size, matrix.n_size, matrix.k_size] == [*tile; 3]
                    && matrix.ab_type == F16
                    && matrix.cr_type == F32
                    && !matrix.saturating_accumulation
            })
        };
        let tile = [16, 8].into_iter().find(fits);
        tile.map(|tile| CooperativeMatrices { tile, lanes })
            .ok_or_else(|| "it has none of halves with sums in 32 bits, 16 x 16 or 8 x 8".to_string())
    }

    /// Rows and columns of a workgroup's block, its subgroups making `tiles` x `tiles` matrices each.
    pub(crate) fn block(&self, tiles: u32) -> u32 {
        2 * tiles * self.tile
    }

    /// Constants of the kernel for operands stored as told.
    pub(crate) fn constants(&self, tiles: u32, transposed: [bool; 2]) -> Vec<(&'static str, u32)> {
        vec![
            ("TILE_8", u32::from(self.tile == 8)),
            ("TILE_16", u32::from(self.tile == 16)),
            ("LANES", self.lanes),
            ("TILES", tiles),
            ("A_TRANSPOSED", u32::from(transposed[0])),
            ("B_TRANSPOSED", u32::from(transposed[1])),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::CooperativeMatrices;
    use wgpu::CooperativeScalarType::{self, F16, F32};

    fn offered(tile: u32, sums: CooperativeScalarType) -> wgpu::CooperativeMatrixProperties {
        wgpu::CooperativeMatrixProperties {
            m_size: tile,
            n_size: tile,
            k_size: tile,
            ab_type: F16,
            cr_type: sums,
            saturating_accumulation: false,
        }
    }

    fn info(backend: wgpu::Backend, subgroups: [u32; 2]) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, backend);
        [info.subgroup_min_size, info.subgroup_max_size] = subgroups;
        info
    }

    #[test]
    fn the_largest_matrices_with_sums_of_32_bits_are_taken() {
        let vulkan = info(wgpu::Backend::Vulkan, [32, 32]);
        let matrices = |tile, lanes| Ok(CooperativeMatrices { tile, lanes });
        let all = [offered(8, F32), offered(16, F16), offered(16, F32)];
        assert_eq!(CooperativeMatrices::suitable(&vulkan, &all), matrices(16, 32));
        assert_eq!(CooperativeMatrices::suitable(&vulkan, &all[..2]), matrices(8, 32));
        let metal = info(wgpu::Backend::Metal, [4, 64]);
        assert_eq!(CooperativeMatrices::suitable(&metal, &all[..1]), matrices(8, 32));
        let oblong = wgpu::CooperativeMatrixProperties { k_size: 8, ..offered(16, F32) };
        let why = CooperativeMatrices::suitable(&vulkan, &[oblong, offered(16, F16)]).unwrap_err();
        assert!(why.contains("sums in 32 bits"), "{why}");
    }

    #[test]
    fn where_subgroups_vary_or_the_language_has_no_such_matrices_there_are_none() {
        let refused = |backend, subgroups| {
            CooperativeMatrices::suitable(&info(backend, subgroups), &[offered(16, F32)]).unwrap_err()
        };
        assert!(refused(wgpu::Backend::Vulkan, [8, 32]).contains("8 to 32 wide"));
        assert!(refused(wgpu::Backend::Vulkan, [128, 128]).contains("128 wide"));
        for backend in [wgpu::Backend::Dx12, wgpu::Backend::Gl, wgpu::Backend::BrowserWebGpu, wgpu::Backend::Noop] {
            assert!(refused(backend, [32, 32]).contains("there are none"));
        }
    }
}
