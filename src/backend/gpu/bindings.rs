//! Bind groups, each made once: a forward pass binds the same buffers in every call, and to make a group takes a browser
//! longer than to dispatch it.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::Gpu;
use super::buffer::{GpuBuffer, OwnedBuffer};
use super::kernel::Pipeline;

/// Groups that are kept: about ten times what a layer binds, for each of a large model's.
const MOST: usize = 4096;

/// The bind groups of a device. A group does not keep the memory of its buffers: they are destroyed when they are dropped,
/// and no other buffer has their ids.
#[derive(Default)]
pub(super) struct Bindings(HashMap<(&'static str, Vec<u64>), Arc<wgpu::BindGroup>>);

impl Bindings {
    /// The group of `params`, `slot` bytes at an offset that each dispatch says, and `buffers` for this pipeline.
    pub(super) fn get(
        &mut self,
        gpu: &Gpu,
        pipeline: &Pipeline,
        (params, slot): (&OwnedBuffer, u64),
        buffers: &[&GpuBuffer],
    ) -> Arc<wgpu::BindGroup> {
        let ids = std::iter::once(params.id).chain(buffers.iter().flat_map(|buffer| buffer.key())).collect();
        let key = (pipeline.shader.name, ids);
        if let Some(group) = self.0.get(&key) {
            return Arc::clone(group);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let uniform = wgpu::BufferBinding { buffer: params, offset: 0, size: NonZeroU64::new(slot) };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }];
        entries.extend(
            (pipeline.shader.buffers.iter().zip(buffers))
                .map(|(&binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.binding() }),
        );
        let group = Arc::new(gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries: &entries,
        }));
        self.0.insert(key, Arc::clone(&group));
        group
    }
}
