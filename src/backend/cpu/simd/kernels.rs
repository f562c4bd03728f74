//! The kernels, written once in terms of a register of `LANES` floats or as many pairs of 16-bit integers. Each module of
//! instructions expands them with its own; a macro, because the attribute that lets a compiler use them is not generic.
//!
//! A tile is [`ROWS`](super::ROWS) rows of activations by `WIDTH` outputs. An output is one chain of additions in the
//! order of K, so it has the same bits in any tile and on any thread.

macro_rules! kernels {
    ($(#[$features:meta])?) => {
        use super::{BLOCK_OF_SUMS, CodePanel, Codes, LEVELS, NEAR_BYTES, ROWS};

        rounding!($(#[$features])?);

        /// Outputs of a panel.
        pub(super) const WIDTH: usize = 2 * LANES;

        type Tile = [[F; 2]; ROWS];

        /// A register of each tile's row and half.
        $(#[$features])?
        #[inline]
        fn zeros() -> Tile {
            [[splat(0.0); 2]; ROWS]
        }

        $(#[$features])?
        #[inline]
        fn sum(v: F) -> f32 {
            store(v).iter().sum()
        }

        $(#[$features])?
        #[inline]
        fn highest(v: F) -> f32 {
            store(v).iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
        }

        /// `e^x` to about two units in the last place: Cody and Waite's reduction with the polynomial of Cephes' expf
        /// (Moshier 1992). Exactly 1 at 0, and 0 below -88.
        $(#[$features])?
        #[inline]
        fn exp(x: F) -> F {
            let x = min(max(x, splat(-88.0)), splat(88.0));
            let n = to_int(mul(x, splat(std::f32::consts::LOG2_E)));
            let whole = to_float(n);
            let x = mul_add(whole, splat(-0.693_359_4), x);
            let x = mul_add(whole, splat(2.121_944_4e-4), x);
            let mut y = splat(1.987_569_1e-4);
            for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
                y = mul_add(y, x, splat(c));
            }
            let y = add(mul_add(mul(x, x), y, x), splat(1.0));
            mul(y, power_of_two(n))
        }

        /// The dot product of two rows of one length.
        $(#[$features])?
        pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
            let (mut even, mut odd) = (splat(0.0), splat(0.0));
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            let ((a, a_last), (b, b_last)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
            for (a, b) in a.iter().zip(b) {
                even = mul_add(load(&a[0]), load(&b[0]), even);
                odd = mul_add(load(&a[1]), load(&b[1]), odd);
            }
            if let ([a], [b]) = (a_last, b_last) {
                even = mul_add(load(a), load(b), even);
            }
            let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
            sum(add(even, odd)) + rest
        }

        /// `y = x * scale * w`
        $(#[$features])?
        pub(super) fn scale_by(x: &[f32], scale: f32, w: &[f32], y: &mut [f32]) {
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = x * scale * w;
            }
        }

        /// RMSNorm of a head with weight `w`, then the rotation by `turns`, the cosine and sine of each pair.
        $(#[$features])?
        pub(super) fn norm_rope(head: &mut [f32], w: &[f32], turns: &[f32], eps: f32) {
            let scale = 1.0 / (dot(head, head) / head.len() as f32 + eps).sqrt();
            let (w_low, w_high) = w.split_at(head.len() / 2);
            let (low, high) = head.split_at_mut(head.len() / 2);
            let pairs = low.iter_mut().zip(high).zip(w_low.iter().zip(w_high)).zip(turns.as_chunks::<2>().0);
            for (((a, b), (wa, wb)), [cos, sin]) in pairs {
                let (x, y) = (*a * scale * wa, *b * scale * wb);
                (*a, *b) = (x * cos - y * sin, y * cos + x * sin);
            }
        }

        /// `gate = silu(gate) * up`, for a multiple of a register.
        $(#[$features])?
        pub(super) fn silu_times(gate: &mut [f32], up: &[f32]) {
            for (g, u) in gate.as_chunks_mut::<LANES>().0.iter_mut().zip(up.as_chunks::<LANES>().0) {
                let x = load(g);
                let sigmoid = div(splat(1.0), add(splat(1.0), exp(sub(splat(0.0), x))));
                *g = store(mul(mul(x, sigmoid), load(u)));
            }
        }

        /// The codes of a panel as 16-bit integers around zero.
        $(#[$features])?
        fn widen_panel(panel: &CodePanel<'_>, into: &mut [i16]) {
            if panel.four_bits {
                for (bytes, codes) in panel.values.as_chunks::<16>().0.iter().zip(into.as_chunks_mut::<32>().0) {
                    for i in 0..16 {
                        codes[i] = i16::from(bytes[i] & 15);
                        codes[16 + i] = i16::from(bytes[i] >> 4);
                    }
                }
            } else {
                for (byte, code) in panel.values.iter().zip(into) {
                    *code = i16::from(*byte) - 128;
                }
            }
        }

        /// `sums` with `[ROWS, WIDTH]` products of integers, exact within a block, then scaled and added up block by block.
        $(#[$features])?
        #[inline]
        fn tile_of_codes(
            panel: &[[[i16; 2 * LANES]; 2]],
            groups: &[[[f32; LANES]; 4]],
            pairs: &[[i32; ROWS]],
            scales: &[[[f32; ROWS]; 2]],
            mut sums: Tile,
        ) -> Tile {
            let length = panel.len() / groups.len();
            let blocks = panel.chunks_exact(length).zip(pairs.chunks_exact(length)).zip(groups.iter().zip(scales));
            for ((panel, pairs), (group, scale)) in blocks {
                let mut products = [[splat_int(0); 2]; ROWS];
                for (w, x) in panel.iter().zip(pairs) {
                    let w = [load_pairs(&w[0]), load_pairs(&w[1])];
                    for row in 0..ROWS {
                        let x = splat_int(x[row]);
                        products[row][0] = add_dot(products[row][0], x, w[0]);
                        products[row][1] = add_dot(products[row][1], x, w[1]);
                    }
                }
                let group = [load(&group[0]), load(&group[1]), load(&group[2]), load(&group[3])];
                for row in 0..ROWS {
                    let (scale, bias) = (splat(scale[0][row]), splat(scale[1][row]));
                    for half in 0..2 {
                        let product = mul(to_float(products[row][half]), scale);
                        let sum = mul_add(product, group[half], sums[row][half]);
                        sums[row][half] = mul_add(bias, group[2 + half], sum);
                    }
                }
            }
            sums
        }

        /// The products `[rows, WIDTH]` of all rows with a panel; `wide` has room for the panel's codes.
        $(#[$features])?
        pub(super) fn products_of_codes(panel: &CodePanel<'_>, x: &Codes, wide: &mut [i16], out: &mut [f32]) {
            widen_panel(panel, wide);
            let wide: &[[[i16; 2 * LANES]; 2]] = bytemuck::cast_slice(&wide[..panel.codes]);
            let groups: &[[[f32; LANES]; 4]] = bytemuck::cast_slice(panel.groups);
            let length = wide.len() / groups.len();
            // So many blocks that their codes stay in the first cache while all tiles pass.
            let step = (NEAR_BYTES / (length * size_of_val(&wide[0]))).max(1);
            out.fill(0.0);
            for first in (0..groups.len()).step_by(step) {
                let blocks = first..groups.len().min(first + step);
                let pairs = blocks.start * length..blocks.end * length;
                let (wide, groups) = (&wide[pairs.clone()], &groups[blocks.clone()]);
                for (tile, out) in x.tiles.iter().zip(out.as_chunks_mut::<{ ROWS * WIDTH }>().0) {
                    let (pairs, scales) = (&tile.codes[pairs.clone()], &tile.scales[blocks.clone()]);
                    put(&tile_of_codes(wide, groups, pairs, scales, get(out)), out);
                }
            }
        }

        $(#[$features])?
        #[inline]
        fn get(out: &[f32; ROWS * WIDTH]) -> Tile {
            let out: &[[[f32; LANES]; 2]; ROWS] = bytemuck::must_cast_ref(out);
            let mut tile = zeros();
            for row in 0..ROWS {
                tile[row] = [load(&out[row][0]), load(&out[row][1])];
            }
            tile
        }

        $(#[$features])?
        #[inline]
        fn put(tile: &Tile, out: &mut [f32; ROWS * WIDTH]) {
            let out: &mut [[[f32; LANES]; 2]; ROWS] = bytemuck::must_cast_mut(out);
            for row in 0..ROWS {
                out[row] = [store(tile[row][0]), store(tile[row][1])];
            }
        }

        /// `sums` with the products of rows with a panel `[K, WIDTH]` of floats.
        $(#[$features])?
        #[inline]
        fn tile_of_floats(panel: &[f32], x: [&[f32]; ROWS], mut sums: Tile) -> Tile {
            let panel: &[[[f32; LANES]; 2]] = bytemuck::cast_slice(panel);
            let [mut a, mut b, mut c, mut d] = x;
            for panel in panel.chunks(BLOCK_OF_SUMS) {
                let mut block = zeros();
                let (a0, a1) = a.split_at(panel.len());
                let (b0, b1) = b.split_at(panel.len());
                let (c0, c1) = c.split_at(panel.len());
                let (d0, d1) = d.split_at(panel.len());
                (a, b, c, d) = (a1, b1, c1, d1);
                for ((((w, a), b), c), d) in panel.iter().zip(a0).zip(b0).zip(c0).zip(d0) {
                    let w = [load(&w[0]), load(&w[1])];
                    let x = [*a, *b, *c, *d];
                    for row in 0..ROWS {
                        let x = splat(x[row]);
                        block[row][0] = mul_add(x, w[0], block[row][0]);
                        block[row][1] = mul_add(x, w[1], block[row][1]);
                    }
                }
                for row in 0..ROWS {
                    sums[row][0] = add(sums[row][0], block[row][0]);
                    sums[row][1] = add(sums[row][1], block[row][1]);
                }
            }
            sums
        }

        /// As [`products_of_codes`], of tiles `x` `[tiles, K, ROWS]` with a panel `[K, WIDTH]` of floats.
        $(#[$features])?
        pub(super) fn products_of_floats(panel: &[f32], x: &[[f32; ROWS]], out: &mut [f32]) {
            let panel: &[[[f32; LANES]; 2]] = bytemuck::cast_slice(panel);
            // A whole number of blocks of sums, so that the order of the additions is that of one pass.
            let step = (NEAR_BYTES / (4 * WIDTH)).next_multiple_of(BLOCK_OF_SUMS);
            out.fill(0.0);
            for (start, near) in (0..).step_by(step).zip(panel.chunks(step)) {
                for (x, out) in x.chunks_exact(panel.len()).zip(out.as_chunks_mut::<{ ROWS * WIDTH }>().0) {
                    let x = &x[start..start + near.len()];
                    for (block, x) in near.chunks(BLOCK_OF_SUMS).zip(x.chunks(BLOCK_OF_SUMS)) {
                        add_block(block, x, out);
                    }
                }
            }
        }

        /// Adds the products of a tile with a block of a panel. The sums of the blocks before stay in memory meanwhile, and
        /// registers to those of this one.
        $(#[$features])?
        #[inline]
        fn add_block(panel: &[[[f32; LANES]; 2]], x: &[[f32; ROWS]], out: &mut [f32; ROWS * WIDTH]) {
            let mut sums = zeros();
            for (w, x) in panel.iter().zip(x) {
                let w = [load(&w[0]), load(&w[1])];
                for row in 0..ROWS {
                    let x = splat(x[row]);
                    sums[row][0] = mul_add(x, w[0], sums[row][0]);
                    sums[row][1] = mul_add(x, w[1], sums[row][1]);
                }
            }
            for (out, sums) in out.as_chunks_mut::<WIDTH>().0.iter_mut().zip(sums) {
                let halves: &mut [[f32; LANES]; 2] = bytemuck::must_cast_mut(out);
                *halves = [store(add(load(&halves[0]), sums[0])), store(add(load(&halves[1]), sums[1]))];
            }
        }

        /// The products of [`ROWS`] rows with each of `panels` `[.., K, WIDTH]`: `out` is `[ROWS, panels * WIDTH]`.
        $(#[$features])?
        pub(super) fn score(panels: &[f32], x: [&[f32]; ROWS], out: &mut [f32]) {
            let width = out.len() / ROWS;
            for (p, panel) in panels.chunks_exact(x[0].len() * WIDTH).enumerate() {
                let tile = tile_of_floats(panel, x, zeros());
                for row in 0..ROWS {
                    let out = &mut out[row * width + p * WIDTH..][..WIDTH];
                    out[..LANES].copy_from_slice(&store(tile[row][0]));
                    out[LANES..].copy_from_slice(&store(tile[row][1]));
                }
            }
        }

        /// `out = out * factor + x w` for [`ROWS`] rows and each of `panels`: `out` is `[ROWS, panels * WIDTH]`.
        $(#[$features])?
        pub(super) fn mix(panels: &[f32], x: [&[f32]; ROWS], factors: [f32; ROWS], out: &mut [f32]) {
            let width = out.len() / ROWS;
            for (p, panel) in panels.chunks_exact(x[0].len() * WIDTH).enumerate() {
                let tile = tile_of_floats(panel, x, zeros());
                for row in 0..ROWS {
                    let halves = out[row * width + p * WIDTH..][..WIDTH].as_chunks_mut::<LANES>().0;
                    for (out, tile) in halves.iter_mut().zip(tile[row]) {
                        *out = store(mul_add(load(out), splat(factors[row]), tile));
                    }
                }
            }
        }

        /// One more range of scores of a query becomes weights `e^(scale * score - most)`, of which the first `seen` count.
        /// `state` is the highest score so far and the sum of weights relative to it. Gives what earlier sums are to be
        /// multiplied by. The length of `scores` is a multiple of a register.
        $(#[$features])?
        pub(super) fn soften(scores: &mut [f32], seen: usize, scale: f32, [most, total]: &mut [f32; 2]) -> f32 {
            scores[seen..].fill(f32::NEG_INFINITY);
            let scores = scores.as_chunks_mut::<LANES>().0;
            let mut top = splat(f32::NEG_INFINITY);
            for s in scores.iter() {
                top = max(top, load(s));
            }
            let top = (highest(top) * scale).max(*most);
            let factor = store(exp(splat(*most - top)))[0];
            let mut weights = splat(0.0);
            for s in scores {
                let weight = exp(mul_add(load(s), splat(scale), splat(-top)));
                weights = add(weights, weight);
                *s = store(weight);
            }
            (*most, *total) = (top, *total * factor + sum(weights));
            factor
        }

        /// Raises `best` `[panels * WIDTH]` to the products of tokens with the query rows in `panels` `[.., D, WIDTH]`, each
        /// token's multiplied by its factor.
        $(#[$features])?
        pub(super) fn raise(panels: &[f32], tokens: [&[f32]; ROWS], factors: [f32; ROWS], best: &mut [f32]) {
            let panels = panels.chunks_exact(tokens[0].len() * WIDTH);
            for (panel, best) in panels.zip(best.as_chunks_mut::<WIDTH>().0) {
                let halves: &mut [[f32; LANES]; 2] = bytemuck::must_cast_mut(best);
                let mut raised = [load(&halves[0]), load(&halves[1])];
                let tile = tile_of_floats(panel, tokens, zeros());
                for row in 0..ROWS {
                    let factor = splat(factors[row]);
                    raised = [max(raised[0], mul(tile[row][0], factor)), max(raised[1], mul(tile[row][1], factor))];
                }
                *halves = [store(raised[0]), store(raised[1])];
            }
        }

        /// The dot product of int8 rows, `query` widened to 16 bits; both are padded with zeros.
        $(#[$features])?
        pub(super) fn dot_codes(query: &[i16], row: &[i8]) -> i32 {
            let mut sums = [splat_int(0); 4];
            let ((query, query_end), (row, row_end)) =
                (query.as_chunks::<{ 2 * LANES }>(), row.as_chunks::<{ 2 * LANES }>());
            let ((query, query_rest), (row, row_rest)) = (query.as_chunks::<4>(), row.as_chunks::<4>());
            for (query, row) in query.iter().zip(row) {
                for i in 0..4 {
                    sums[i] = add_dot(sums[i], load_pairs(&query[i]), widen_codes(&row[i]));
                }
            }
            for (query, row) in query_rest.iter().zip(row_rest) {
                sums[0] = add_dot(sums[0], load_pairs(query), widen_codes(row));
            }
            let end: i32 = query_end.iter().zip(row_end).map(|(&q, &r)| i32::from(q) * i32::from(r)).sum();
            store_int(add_int(add_int(sums[0], sums[1]), add_int(sums[2], sums[3]))).iter().sum::<i32>() + end
        }

        /// The bits in which rows differ.
        $(#[$features])?
        pub(super) fn hamming(query: &[u32], row: &[u32]) -> u32 {
            query.iter().zip(row).map(|(a, b)| (a ^ b).count_ones()).sum()
        }
    };
}
