// Division of float32 numbers that are not negative, given by their bits and rounded to the nearest, half to even, as
// IEEE 754 has it: WGSL's own may be off by 2.5 units in the last place, and take subnormals for zero.

struct Parts {
    significand: u32,  // 24 bits, the highest set
    exponent: i32,     // the number is significand * 2^exponent
}

fn parts(bits: u32) -> Parts {
    let exponent = i32(bits >> 23u);
    let low = bits & 0x7fffffu;
    if (exponent > 0) {
        return Parts(low | 0x800000u, exponent - 150);
    }
    let shift = countLeadingZeros(low) - 8u;
    return Parts(low << shift, -149 - i32(shift));
}

// x / 2^places, rounded; x below 2^31 and places from 1 to 30.
fn rounded(x: u32, places: u32) -> u32 {
    return (x + (1u << (places - 1u)) - 1u + ((x >> places) & 1u)) >> places;
}

struct Quotient {
    digits: u32,    // 26 bits, the highest set; the lowest says whether anything is left
    exponent: i32,  // the quotient is digits * 2^(exponent - 25)
}

// Neither may be 0. Long division, eight bits at a time.
fn quotient(x: u32, y: u32) -> Quotient {
    let a = parts(x);
    let b = parts(y);
    let small = a.significand < b.significand;
    let r0 = (a.significand << select(0u, 1u, small)) - b.significand;
    let r1 = r0 << 8u;
    let r2 = (r1 % b.significand) << 8u;
    let r3 = (r2 % b.significand) << 8u;
    let digits = (1u << 24u) | ((r1 / b.significand) << 16u) | ((r2 / b.significand) << 8u) | (r3 / b.significand);
    let left = select(0u, 1u, r3 % b.significand != 0u);
    return Quotient((digits << 1u) | left, a.exponent - b.exponent - select(0, 1, small));
}

// The bits of x / y; y may not be 0, and the quotient is below 2^128.
fn divided(x: u32, y: u32) -> u32 {
    if (x == 0u) {
        return 0u;
    }
    let q = quotient(x, y);
    if (q.exponent >= -126) {
        // The highest of 24 bits counts as one more in the exponent.
        return (u32(q.exponent + 126) << 23u) + rounded(q.digits, 2u);
    }
    let places = u32(-124 - q.exponent);
    if (places > 26u) {
        return 0u;
    }
    return rounded(q.digits, places);
}
