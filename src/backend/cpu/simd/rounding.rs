//! Kernels that round activations to integers: a part of `kernels!`, which expands it.

macro_rules! rounding {
    ($(#[$features:meta])?) => {
        /// The largest magnitude in a block of activations, and what its codes are multiplied by: the factor that makes the
        /// largest of them `levels`, and its inverse, which is not a number if an activation is not finite.
        $(#[$features])?
        #[inline]
        fn factors(x: &[f32], levels: f32) -> [f32; 2] {
            let (mut most, mut faults) = (splat(0.0), splat(0.0));
            let (whole, rest) = x.as_chunks::<LANES>();
            for x in whole {
                let x = load(x);
                most = max(most, abs(x));
                // Not a number where the input is none or infinite.
                faults = add(faults, sub(x, x));
            }
            let (mut most, mut fault) = (highest(most), sum(faults));
            for x in rest {
                most = most.max(x.abs());
                fault += x - x;
            }
            let inverse = if most > 0.0 { levels / most } else { 0.0 };
            let inverse = if inverse.is_finite() { inverse } else { 0.0 };
            [inverse, if inverse > 0.0 { most / levels } else { 0.0 } + fault]
        }

        /// Rounds a block of one row of activations to 16 bits, into row `row` of a tile of [`Codes`].
        $(#[$features])?
        pub(super) fn round_block(x: &[f32], row: usize, pairs: &mut [[i32; ROWS]], scales: &mut [[f32; ROWS]; 2]) {
            let [inverse, scale] = factors(x, 32767.0);
            let factor = splat(inverse);
            let mut total = 0i32;
            let (whole, rest) = x.as_chunks::<{ 2 * LANES }>();
            let (into, into_rest) = pairs.split_at_mut(whole.len() * LANES);
            let mut totals = splat_int(0);
            for (x, into) in whole.iter().zip(into.as_chunks_mut::<LANES>().0) {
                let halves: &[[f32; LANES]; 2] = bytemuck::must_cast_ref(x);
                let (low, high) = (to_int(mul(load(&halves[0]), factor)), to_int(mul(load(&halves[1]), factor)));
                totals = add_int(totals, add_int(low, high));
                let codes: [i32; LANES] = bytemuck::must_cast(narrow(low, high));
                for (into, pair) in into.iter_mut().zip(codes) {
                    into[row] = pair;
                }
            }
            total += store_int(totals).iter().sum::<i32>();
            for (x, into) in rest.chunks(2).zip(into_rest) {
                let code = |i: usize| x.get(i).map_or(0, |x| (x * inverse).round_ties_even() as i16);
                let pair = [code(0), code(1)];
                total += i32::from(pair[0]) + i32::from(pair[1]);
                into[row] = bytemuck::must_cast(pair);
            }
            scales[0][row] = scale;
            scales[1][row] = scale * total as f32;
        }

        /// The same to 8 bits, four of them in each element of `fours`.
        $(#[$features])?
        pub(super) fn round_block_to_bytes(
            x: &[f32],
            row: usize,
            fours: &mut [[i32; ROWS]],
            scales: &mut [[f32; ROWS]; 2],
        ) {
            let [inverse, scale] = factors(x, LEVELS);
            let factor = splat(inverse);
            let (whole, rest) = x.as_chunks::<{ 2 * LANES }>();
            let (into, into_rest) = fours.split_at_mut(whole.len() * LANES / 2);
            let mut totals = splat_int(0);
            for (x, into) in whole.iter().zip(into.as_chunks_mut::<{ LANES / 2 }>().0) {
                let halves: &[[f32; LANES]; 2] = bytemuck::must_cast_ref(x);
                let (low, high) = (to_int(mul(load(&halves[0]), factor)), to_int(mul(load(&halves[1]), factor)));
                totals = add_int(totals, add_int(low, high));
                let codes = narrow(low, high).map(|code| code as i8);
                let codes: [i32; LANES / 2] = bytemuck::must_cast(codes);
                for (into, four) in into.iter_mut().zip(codes) {
                    into[row] = four;
                }
            }
            let mut total = store_int(totals).iter().sum::<i32>();
            for (x, into) in rest.chunks(4).zip(into_rest) {
                let mut four = [0i8; 4];
                for (code, x) in four.iter_mut().zip(x) {
                    *code = (x * inverse).round_ties_even() as i8;
                    total += i32::from(*code);
                }
                into[row] = bytemuck::must_cast(four);
            }
            scales[0][row] = scale;
            scales[1][row] = scale * total as f32;
        }
    };
}
