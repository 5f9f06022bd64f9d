//! limbic inside an application's own device: it asks for nothing, works in the app's encoder, shares buffers both ways, leaves the
//! device's callbacks to the app, and answers a lost device with errors.

mod support;

use limbic::Error;
use limbic::gpu::{Gpu, GpuOptions, optional_features, required_limits};
use limbic::graph::{Graph, Init, Parameters};
use limbic::plan::{Mode, ParameterStore, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::noise;

/// What an application owns.
struct App {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// An application's device, on the adapter that the other tests use.
fn app(features: wgpu::Features, limits: wgpu::Limits) -> App {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let wanted = support::gpu().info().name.clone();
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == wanted).expect("the same adapter");
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("the app's"),
        required_features: features,
        required_limits: limits,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    App { adapter, device, queue }
}

/// The plainest device there is: no feature, WebGPU's default limits.
fn plain_app() -> App {
    app(wgpu::Features::empty(), wgpu::Limits::default())
}

impl App {
    fn gpu(&self) -> Gpu {
        Gpu::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone()).expect("default limits are enough")
    }

    /// The values that an app reads from a buffer of its own.
    fn read(&self, staging: &wgpu::Buffer) -> Vec<f32> {
        staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("mapped"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("polled");
        let view = staging.get_mapped_range(..).expect("a mapped range");
        bytemuck::pod_collect_to_vec::<u8, f32>(&view)
    }

    fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }
}

fn empty_store(gpu: &Gpu) -> ParameterStore {
    ParameterStore::new(gpu, &Parameters::new(), &[]).expect("an empty store")
}

/// A small network with a mask, a norm, a softmax and gradients.
fn network(graph: &Graph, parameters: &Parameters) -> limbic::Result<()> {
    let weight = parameters.find("weight").ok_or_else(|| Error::Config("no weight".to_string()))?;
    let x = graph.input_with_grad("x", [4, 12, 20]);
    let y = x.matmul_nt(graph.parameter(parameters, weight)).gelu().layer_norm(None, None, 1e-5);
    let y = y.mask_rows(graph.mask_input("mask", [4, 12])).softmax(2).named("y");
    y.square().sum().as_loss();
    Ok(())
}

/// Output, input gradient and weight gradient of [`network`] there.
fn run_network(gpu: &Gpu) -> [Vec<f32>; 3] {
    let mut parameters = Parameters::new();
    parameters.root().parameter("weight", [36, 20], Init::Normal { std: 0.5 });
    let store = ParameterStore::new(gpu, &parameters, &parameters.initial_values(3)).expect("a store");
    let plan = Plan::new(&store, Mode::Gradients, |graph| network(graph, &parameters)).expect("a plan");
    plan.write("x", &noise(4 * 12 * 20, 1)).expect("x");
    let mask: Vec<u32> = (0..48).map(|i| u32::from(i % 12 < 9)).collect();
    plan.write_u32("mask", &mask).expect("mask");
    plan.run().expect("a run");
    let gradient = store.download_gradients().expect("gradients").swap_remove(0);
    [plan.read("y").expect("y"), plan.read("grad/x").expect("grad/x"), gradient]
}

#[test]
fn a_device_without_features_and_with_default_limits_computes_the_same() {
    let app = plain_app();
    let gpu = app.gpu();
    assert_eq!(
        (gpu.capabilities().subgroup, gpu.capabilities().f16, gpu.capabilities().timestamps),
        (None, false, false)
    );
    for (plain, own) in run_network(&gpu).iter().zip(run_network(&support::gpu())) {
        assert!(plain.iter().any(|value| *value != 0.0));
        let own: Vec<f64> = own.iter().map(|value| f64::from(*value)).collect();
        support::assert_close("portable kernels", plain, &own, 1e-5);
    }
}

#[test]
fn what_limbic_publishes_is_what_it_takes() {
    let limits = required_limits();
    assert!(limits.check_limits(&wgpu::Limits::default()), "WebGPU's default limits are not enough");
    let plain = plain_app();
    let features = plain.adapter.features() & optional_features();
    // a device made as the documentation says is used to the full
    let app = app(features, wgpu::Limits::default().or_better_values_from(&limits));
    let gpu = app.gpu();
    assert_eq!(gpu.capabilities().f16, features.contains(wgpu::Features::SHADER_F16));
    assert_eq!(gpu.capabilities().subgroup.is_some(), features.contains(wgpu::Features::SUBGROUP));
    assert_eq!(app.device.features(), features, "limbic changed the device's features");
}

#[test]
fn a_device_with_too_low_limits_is_refused_by_name() {
    let app = app(
        wgpu::Features::empty(),
        wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() },
    );
    let error = Gpu::from_wgpu(&app.adapter, app.device.clone(), app.queue.clone()).expect_err("4 buffers are too few");
    match error {
        Error::Unsupported { adapter, why } => {
            assert_eq!(adapter, app.adapter.get_info().name);
            assert_eq!(why, "limbic needs 8 storage buffers per stage, it offers 4");
        }
        other => panic!("{other}"),
    }
}

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> doubled: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&doubled)) { doubled[id.x] = 2.0 * y[id.x]; }
}";

/// App data -> limbic -> a shader of the app -> app data, in one encoder and one submission.
#[test]
fn buffers_are_shared_both_ways_in_the_apps_encoder() {
    let app = plain_app();
    let gpu = app.gpu();
    let plan = Plan::new(&empty_store(&gpu), Mode::Forward, |graph| {
        (graph.input("x", [100]).square() + graph.input("offset", [100])).named("y");
        Ok(())
    })
    .expect("a plan");
    let x: Vec<f32> = noise(100, 5);
    let data = app.buffer(400, wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
    app.queue.write_buffer(&data, 0, bytemuck::cast_slice(&x));
    plan.write("offset", &[1.0; 100]).expect("offset");

    let input = plan.input_location("x").expect("x");
    let (output, shape) = plan.output_location("y").expect("y");
    assert_eq!(shape.axes(), [100]);
    let doubled = app.buffer(400, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let module = app.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(DOUBLE.into()),
    });
    let pipeline = app.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let y = wgpu::BufferBinding {
        buffer: &output.buffer,
        offset: output.offset,
        size: std::num::NonZeroU64::new(output.size),
    };
    let bind_group = app.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(y) },
            wgpu::BindGroupEntry { binding: 1, resource: doubled.as_entire_binding() },
        ],
    });
    let staging = app.buffer(400, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);

    let mut encoder = app.device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(&data, 0, &input.buffer, input.offset, 400);
    plan.encode(&mut encoder);
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(2, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&doubled, 0, &staging, 0, 400);
    app.queue.submit([encoder.finish()]);
    let expected: Vec<f64> = x.iter().map(|x| 2.0 * (f64::from(*x).powi(2) + 1.0)).collect();
    support::assert_close("doubled", &app.read(&staging), &expected, 1e-6);
}

#[test]
fn results_come_back_without_blocking() {
    let app = plain_app();
    let gpu = app.gpu();
    let plan = Plan::new(&empty_store(&gpu), Mode::Forward, |graph| {
        graph.input("x", [4]).scale(3.0).named("y");
        Ok(())
    })
    .expect("a plan");
    plan.write("x", &[1.0; 4]).expect("x");
    plan.run().expect("a run");
    let readback = plan.read_async("y").expect("a readback");
    // as an app's frame loop would
    let frames = (0..100_000).position(|_| {
        std::thread::sleep(std::time::Duration::from_micros(100));
        readback.ready().expect("a poll")
    });
    assert!(frames.is_some(), "never ready");
    let (bytes, _) = readback.wait().expect("bytes");
    assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes), [3.0; 4]);
}

#[test]
fn the_devices_callbacks_stay_the_apps() {
    let app = plain_app();
    let counters: [Arc<AtomicUsize>; 2] = Default::default();
    let (errors, losses) = (counters[0].clone(), counters[1].clone());
    app.device.on_uncaptured_error(Arc::new(move |_| {
        errors.fetch_add(1, Ordering::SeqCst);
    }));
    app.device.set_device_lost_callback(move |_, _| {
        losses.fetch_add(1, Ordering::SeqCst);
    });
    let gpu = app.gpu();
    run_network(&gpu);
    // limbic's own mistakes go to its caller ...
    let store = empty_store(&gpu);
    let too_large = Plan::new(&store, Mode::Forward, |graph| {
        graph.input("x", [1]).broadcast_to([64 << 20]).named("y");
        Ok(())
    });
    assert!(too_large.is_err());
    assert_eq!(counters[0].load(Ordering::SeqCst), 0, "the app was told of an error that limbic handled");
    // ... and the app's to the app
    app.buffer(16, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE);
    assert_eq!(counters[0].load(Ordering::SeqCst), 1);
    app.device.destroy();
    let _ = app.device.poll(wgpu::PollType::Poll);
    assert_eq!(counters[1].load(Ordering::SeqCst), 1, "the app did not hear that its device is gone");
}

#[test]
fn a_destroyed_device_is_an_error_and_no_panic() {
    let app = plain_app();
    let gpu = app.gpu();
    let mut parameters = Parameters::new();
    parameters.root().parameter("weight", [4], Init::Ones);
    let values = parameters.initial_values(1);
    let store = ParameterStore::new(&gpu, &parameters, &values).expect("a store");
    let build = |graph: &Graph| {
        graph.input("x", [4]).scale(3.0).named("y");
        Ok(())
    };
    let plan = Plan::new(&store, Mode::Forward, build).expect("a plan");
    plan.write("x", &[1.0; 4]).expect("x");
    plan.run().expect("a run");
    let before = plan.read_async("y").expect("a readback");
    app.device.destroy();
    // what was under way ends one way or the other
    let _ = before.wait();
    let _ = plan.write("x", &[2.0; 4]);
    let told = |what: &str, result: limbic::Result<()>| match result {
        Err(Error::Device { message, .. }) => assert!(message.contains("lost"), "{what}: {message}"),
        other => panic!("{what}: {other:?}"),
    };
    told("run", plan.run());
    told("read", plan.read("y").map(drop));
    told("a new plan", Plan::new(&store, Mode::Forward, build).map(drop));
    told("a new store", ParameterStore::new(&gpu, &parameters, &values).map(drop));
    told("downloading", store.download().map(drop));
    assert!(gpu.wait().is_err());
    let _ = gpu.poll();
}

#[test]
fn a_device_of_our_own_that_is_destroyed_is_an_error_too() {
    let gpu = Gpu::with_options(&GpuOptions::default()).expect("a device");
    let plan = Plan::new(&empty_store(&gpu), Mode::Forward, |graph| {
        graph.input("x", [4]).scale(3.0).named("y");
        Ok(())
    })
    .expect("a plan");
    gpu.device().destroy();
    assert!(plan.run().is_err());
    assert!(plan.read("y").is_err());
}
