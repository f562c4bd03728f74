//! Rows on the device.

use std::ops::Range;

use super::rows::{LARGEST, Rows, Stream};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::maxsim::Resident;

/// Bytes of rows that are padded before they are uploaded, or read back at a time.
const STAGING: usize = 4 << 20;

/// Room for rows of one form. It is given back when this is dropped: a browser would wait for its garbage collector.
pub(super) struct DeviceRows {
    stream: Stream,
    /// Rows of [`Stream::stride`] bytes.
    pub(super) data: wgpu::Buffer,
    /// `[rows]` float32, where rows have scales.
    pub(super) scales: Option<wgpu::Buffer>,
}

impl DeviceRows {
    /// Bytes that a row takes.
    pub(super) fn cost(stream: &Stream) -> u64 {
        (stream.stride() + if stream.scaled { 4 } else { 0 }) as u64
    }

    /// Room for `rows` of them.
    ///
    /// # Errors
    /// As [`Gpu::storage`]. Whether there was room a browser says only later.
    pub(super) fn new(gpu: &Gpu, stream: &Stream, rows: u32) -> Result<Self> {
        let data = gpu.storage("index rows", u64::from(rows) * stream.stride() as u64)?;
        let scales = match stream.scaled {
            true => Some(gpu.storage("index scales", u64::from(rows) * 4)?),
            false => None,
        };
        Ok(Self { stream: *stream, data, scales })
    }

    /// Puts the rows `range` of `rows` to row `at` and on.
    pub(super) fn write(&self, gpu: &Gpu, at: u32, rows: &Rows, range: Range<usize>) {
        let (own, stride) = (self.stream.row_bytes(), self.stream.stride());
        let mut to = u64::from(at) * stride as u64;
        let scales = rows.scales.get(range.clone());
        if own == stride {
            gpu.queue.write_buffer(&self.data, to, rows.bytes(range));
        } else {
            let mut padded = Vec::new();
            for some in rows.bytes(range).chunks((STAGING / stride).max(1) * own) {
                padded.clear();
                pad(some, own, stride, &mut padded);
                gpu.queue.write_buffer(&self.data, to, &padded);
                to += padded.len() as u64;
            }
        }
        if let (Some(buffer), Some(scales)) = (&self.scales, scales) {
            gpu.queue.write_buffer(buffer, u64::from(at) * 4, bytemuck::cast_slice(scales));
        }
    }

    /// Appends the rows `range` to `into`.
    ///
    /// # Errors
    /// Faults of the device.
    pub(super) async fn read(&self, gpu: &Gpu, range: Range<u32>, into: &mut Rows) -> Result<()> {
        let (own, stride) = (self.stream.row_bytes(), self.stream.stride());
        into.reserve(range.len())?;
        for first in range.clone().step_by((STAGING / stride).max(1)) {
            let count = ((STAGING / stride).max(1) as u32).min(range.end - first);
            let bytes =
                gpu.read_at(&self.data, u64::from(first) * stride as u64, u64::from(count) * stride as u64).await?;
            match own == stride {
                true => into.append_bytes(&bytes),
                false => bytes.chunks_exact(stride).for_each(|row| into.append_bytes(&row[..own])),
            }
        }
        if let Some(scales) = &self.scales {
            let bytes = gpu.read_at(scales, u64::from(range.start) * 4, range.len() as u64 * 4).await?;
            into.scales.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        Ok(())
    }

    /// What MaxSim scores: items that end at `offsets`, from row 0 on.
    pub(super) fn resident<'a>(&'a self, offsets: &'a [u64]) -> Resident<'a> {
        let (form, dim) = (self.stream.token_form(), self.stream.dim);
        Resident { form, dim, offsets, data: &self.data, scales: self.scales.as_ref(), peak: LARGEST.into() }
    }

    /// Copies each of `runs`, rows of `from` and the first row here, on the device.
    pub(super) fn copy(&self, gpu: &Gpu, from: &Self, runs: &[(Range<u32>, u32)]) {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut copy = |[from, to]: [&wgpu::Buffer; 2], size: u64| {
            for (rows, at) in runs {
                let (source, target) = (u64::from(rows.start) * size, u64::from(*at) * size);
                encoder.copy_buffer_to_buffer(from, source, to, target, rows.len() as u64 * size);
            }
        };
        copy([&from.data, &self.data], self.stream.stride() as u64);
        if let (Some(from), Some(to)) = (&from.scales, &self.scales) {
            copy([from, to], 4);
        }
        gpu.submit(Some(encoder.finish()));
    }
}

impl Drop for DeviceRows {
    fn drop(&mut self) {
        self.data.destroy();
        self.scales.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// Appends rows of `own` bytes, each followed by zeros up to `stride`.
pub(super) fn pad(rows: &[u8], own: usize, stride: usize, into: &mut Vec<u8>) {
    into.reserve(rows.len() / own * stride);
    for row in rows.chunks_exact(own) {
        into.extend_from_slice(row);
        into.resize(into.len() + stride - own, 0);
    }
}
