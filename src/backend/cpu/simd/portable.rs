//! Eight lanes that any compiler keeps in vector registers: for processors that have no module of their own here, and
//! the instructions that others are compared with.

/// Floats of a register.
pub(super) const LANES: usize = 8;
type F = [f32; LANES];
type I = [i32; LANES];

macro_rules! lanes {
    (|$i:ident| $value:expr) => {{
        let mut out = [Default::default(); LANES];
        for $i in 0..LANES {
            out[$i] = $value;
        }
        out
    }};
}

#[inline]
fn splat(value: f32) -> F {
    [value; LANES]
}

#[inline]
fn load(values: &[f32; LANES]) -> F {
    *values
}

#[inline]
fn store(v: F) -> [f32; LANES] {
    v
}

#[inline]
fn add(a: F, b: F) -> F {
    lanes!(|i| a[i] + b[i])
}

#[inline]
fn sub(a: F, b: F) -> F {
    lanes!(|i| a[i] - b[i])
}

#[inline]
fn mul(a: F, b: F) -> F {
    lanes!(|i| a[i] * b[i])
}

#[inline]
fn div(a: F, b: F) -> F {
    lanes!(|i| a[i] / b[i])
}

#[inline]
fn mul_add(a: F, b: F, c: F) -> F {
    lanes!(|i| a[i] * b[i] + c[i])
}

#[inline]
fn max(a: F, b: F) -> F {
    lanes!(|i| if a[i] > b[i] { a[i] } else { b[i] })
}

#[inline]
fn min(a: F, b: F) -> F {
    lanes!(|i| if a[i] < b[i] { a[i] } else { b[i] })
}

#[inline]
fn abs(a: F) -> F {
    lanes!(|i| a[i].abs())
}

#[inline]
fn to_int(a: F) -> I {
    lanes!(|i| a[i].round_ties_even() as i32)
}

#[inline]
fn to_float(a: I) -> F {
    lanes!(|i| a[i] as f32)
}

#[inline]
fn power_of_two(n: I) -> F {
    lanes!(|i| f32::from_bits(((n[i] + 127) << 23) as u32))
}

#[inline]
fn splat_int(value: i32) -> I {
    [value; LANES]
}

#[inline]
fn load_pairs(values: &[i16; 2 * LANES]) -> I {
    bytemuck::cast(*values)
}

#[inline]
fn store_int(v: I) -> [i32; LANES] {
    v
}

#[inline]
fn add_int(a: I, b: I) -> I {
    lanes!(|i| a[i].wrapping_add(b[i]))
}

#[inline]
fn add_dot(sum: I, a: I, b: I) -> I {
    let (a, b): ([[i16; 2]; LANES], [[i16; 2]; LANES]) = (bytemuck::cast(a), bytemuck::cast(b));
    let dot = lanes!(|i| i32::from(a[i][0]) * i32::from(b[i][0]) + i32::from(a[i][1]) * i32::from(b[i][1]));
    add_int(sum, dot)
}

#[inline]
fn narrow(low: I, high: I) -> [i16; 2 * LANES] {
    let mut out = [0; 2 * LANES];
    for i in 0..LANES {
        (out[i], out[LANES + i]) = (low[i] as i16, high[i] as i16);
    }
    out
}

#[inline]
fn widen_codes(codes: &[i8; 2 * LANES]) -> I {
    let mut out = [0i16; 2 * LANES];
    for i in 0..2 * LANES {
        out[i] = i16::from(codes[i]);
    }
    bytemuck::cast(out)
}

kernels!();
