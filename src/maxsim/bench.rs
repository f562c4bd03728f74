//! MaxSim measured beside the full-matrix way to score and beside the plain loop, in one run:
//!
//! ```sh
//! . scripts/env.sh; use_lavapipe
//! cargo test --release --lib maxsim::bench -- --ignored --nocapture
//! ```
//!
//! A line of JSON a measurement: seconds of one call, from vectors in host memory to scores in host memory.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and stops at the first surprise")]

use half::f16;
use web_time::Instant;

use super::{Options, Scorer, TokenData, Tokens, score_on_cpu};
use crate::gpu::probe::values;
use crate::gpu::{Family, Gpu};

const DIM: usize = 128;
const ROWS: usize = 32;
const LENGTH: usize = 300;
/// Documents that the full-matrix way takes at once: their tokens fit one binding.
const NAIVE_DOCS: usize = 500;

/// The least seconds of `runs`, and what the last one gave.
fn timed<T>(runs: usize, mut run: impl FnMut() -> T) -> (f64, T) {
    let mut once = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed().as_secs_f64(), result)
    };
    let mut best = once();
    for _ in 1..runs {
        let next = once();
        best = (best.0.min(next.0), next.1);
    }
    best
}

#[test]
#[ignore = "a measurement: minutes, and 4 GB of memory"]
fn a_query_against_documents_of_every_form() {
    let gpu = pollster::block_on(Gpu::open()).unwrap();
    let query = values(1, ROWS * DIM);
    let queries = Tokens { data: TokenData::Float32(&query), offsets: &[0, ROWS as u64], dim: DIM };
    let naive = Naive::new(&gpu);
    println!(
        "{}",
        serde_json::json!({ "adapter": gpu.adapter(), "dim": DIM, "query_tokens": ROWS, "document_tokens": LENGTH })
    );
    for documents in [1_000usize, 10_000] {
        let runs = if documents == 1_000 { 3 } else { 1 };
        let offsets: Vec<u64> = (0..=documents as u64).map(|d| d * LENGTH as u64).collect();
        let floats = values(2, documents * LENGTH * DIM);
        let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
        let codes: Vec<i8> = floats.iter().map(|v| (v * 127.0) as i8).collect();
        let scales = vec![1.0 / 127.0; documents * LENGTH];
        let bits: Vec<u8> = codes[..codes.len() / 8].iter().map(|&c| c as u8).collect();
        let say = |form: &str, how: &str, seconds: f64| {
            let rate = (documents * LENGTH * ROWS * DIM) as f64 / seconds / 1e9;
            println!(
                "{}",
                serde_json::json!({
                    "documents": documents, "form": form, "how": how, "seconds": (seconds * 1e3).round() / 1e3,
                    "gmac_per_second": (rate * 100.0).round() / 100.0,
                })
            );
        };
        let of = |data| Tokens { data, offsets: &offsets, dim: DIM };
        let forms = [
            ("float32", of(TokenData::Float32(&floats))),
            ("float16", of(TokenData::Float16(&halves))),
            ("int8", of(TokenData::Int8 { codes: &codes, scales: Some(&scales) })),
            ("binary", of(TokenData::Binary(&bits))),
        ];
        let mut exact = Vec::new();
        for (form, tokens) in forms {
            for (family, name) in [(Family::Strip, "maxsim_strip"), (Family::Tile, "maxsim_tile")] {
                let scorer = Scorer::of(family);
                // Compiled, and the speed of a submission learnt.
                let few = Tokens { offsets: &offsets[..=50], data: first(tokens.data, 50 * LENGTH), ..tokens };
                let run =
                    |tokens| pollster::block_on(scorer.score(&gpu, queries, tokens, Options::default(), &())).unwrap();
                run(few);
                let (seconds, scores) = timed(runs, || run(tokens));
                say(form, name, seconds);
                if form == "float32" {
                    exact = scores;
                }
            }
            let (seconds, _) = timed(1, || score_on_cpu(queries, tokens, Options::default(), &()).unwrap());
            say(form, "plain loop", seconds);
        }
        let (seconds, scores) = timed(runs, || naive.score(&gpu, &query, &floats));
        say("float32", "full matrix", seconds);
        assert!(scores.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-3), "the two ways differ");
    }
}

/// The first `count` tokens.
fn first(data: TokenData<'_>, count: usize) -> TokenData<'_> {
    match data {
        TokenData::Float32(data) => TokenData::Float32(&data[..count * DIM]),
        TokenData::Float16(data) => TokenData::Float16(&data[..count * DIM]),
        TokenData::Int8 { codes, scales } => {
            TokenData::Int8 { codes: &codes[..count * DIM], scales: scales.map(|s| &s[..count]) }
        }
        TokenData::Binary(data) => TokenData::Binary(&data[..count * DIM / 8]),
    }
}

/// The full-matrix way: `bench/maxsim_naive.wgsl`.
struct Naive {
    layout: wgpu::BindGroupLayout,
    passes: [wgpu::ComputePipeline; 3],
}

impl Naive {
    fn new(gpu: &Gpu) -> Self {
        let source = wgpu::ShaderSource::Wgsl(include_str!("../../bench/maxsim_naive.wgsl").into());
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let entry = |binding| {
            let storage = wgpu::BufferBindingType::Storage { read_only: binding < 4 };
            wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: if binding == 0 { wgpu::BufferBindingType::Uniform } else { storage },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }
        };
        let entries: Vec<_> = (0..7).map(entry).collect();
        let layout =
            gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pass = |name| {
            gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(name),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        Self { passes: ["product", "maxima", "sums"].map(pass), layout }
    }

    fn score(&self, gpu: &Gpu, query: &[f32], floats: &[f32]) -> Vec<f32> {
        let storage = |bytes: usize| gpu.storage("naive", bytes as u64).unwrap();
        let q = gpu.storage_of("q", query).unwrap();
        let data = storage(NAIVE_DOCS * LENGTH * DIM * 4);
        let ends: Vec<u32> = (1..=NAIVE_DOCS).map(|d| (d * LENGTH) as u32).collect();
        let ends = gpu.storage_of("ends", &ends).unwrap();
        let matrix = storage(NAIVE_DOCS * LENGTH * ROWS * 4);
        let (best, scores) = (storage(NAIVE_DOCS * ROWS * 4), storage(NAIVE_DOCS * 4));
        let params = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let sizes = [NAIVE_DOCS * LENGTH, NAIVE_DOCS, ROWS, DIM / 4].map(|n| n as u32);
        gpu.queue.write_buffer(&params, 0, bytemuck::cast_slice(&sizes));
        let buffers = [&params, &q, &data, &ends, &matrix, &best, &scores];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        let bindings = gpu.device.create_bind_group(&descriptor);
        let groups = [
            ((NAIVE_DOCS * LENGTH).div_ceil(256), ROWS / 8),
            ((NAIVE_DOCS * ROWS).div_ceil(64), 1),
            (NAIVE_DOCS.div_ceil(64), 1),
        ];
        let mut all = Vec::new();
        for chunk in floats.chunks(NAIVE_DOCS * LENGTH * DIM) {
            gpu.queue.write_buffer(&data, 0, bytemuck::cast_slice(chunk));
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_bind_group(0, &bindings, &[]);
                for (pipeline, (x, y)) in self.passes.iter().zip(groups) {
                    pass.set_pipeline(pipeline);
                    pass.dispatch_workgroups(x as u32, y as u32, 1);
                }
            }
            gpu.submit(Some(encoder.finish()));
            let read = pollster::block_on(gpu.read(&scores, NAIVE_DOCS as u64 * 4)).unwrap();
            all.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&read));
        }
        all
    }
}
