//! F16 in f32, without branches: scales and biases are rounded while they lie side by side.

use super::pick;

/// The smallest normal F16, 2^-14.
pub(super) const NORMAL: f32 = 6.103_515_6e-5;
/// The largest F16.
pub(super) const MAX: f32 = 65_504.0;
/// The step between F16 numbers below [`NORMAL`].
const STEP: f32 = 5.960_464_5e-8;
/// Adding and subtracting it rounds numbers below [`NORMAL`] to multiples of [`STEP`], half to even.
const ROUND_SUBNORMAL: f32 = 0.75;

/// The nearest number that F16 holds, half to even; beyond its range, one beyond [`MAX`].
pub(super) fn nearest(x: f32) -> f32 {
    let bits = x.to_bits();
    let normal = f32::from_bits(bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff);
    pick(x.abs() < NORMAL, (x + ROUND_SUBNORMAL) - ROUND_SUBNORMAL, normal)
}

/// The largest number that F16 holds and that is not above `x`, which is not negative.
pub(super) fn below(x: f32) -> f32 {
    let near = nearest(x);
    let before = pick(near > NORMAL, f32::from_bits(near.to_bits().wrapping_sub(0x2000)), near - STEP);
    pick(near > x, before, near)
}

/// The F16 number after `x`, which is one and not negative.
pub(super) fn next(x: f32) -> f32 {
    pick(x < NORMAL, x + STEP, f32::from_bits(x.to_bits().wrapping_add(0x2000)))
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{MAX, below, nearest, next};

    #[test]
    fn halves_are_rounded_and_counted_as_the_half_crate_does() {
        for bits in 0..0x7c00u16 {
            let (x, after) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            assert_eq!((below(x), nearest(x), nearest(-x)), (x, x, -x));
            if !after.is_finite() {
                continue;
            }
            assert_eq!(next(x), after);
            let between = 0.5 * (x + after);
            for x in [between, between.next_down(), between.next_up(), after.next_down(), x.next_up()] {
                assert_eq!(nearest(x), f16::from_f32(x).to_f32(), "{x:e}");
                assert_eq!(below(x), f16::from_bits(bits).to_f32(), "{x:e}");
            }
        }
        assert!(nearest(65_520.0) > MAX && nearest(1e30) > MAX);
    }
}
