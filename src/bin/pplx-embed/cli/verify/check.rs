//! One published thing against ours, and how far apart they may be.

use serde_json::{Value, json};

/// A comparison.
pub(super) struct Check {
    pub(super) name: String,
    /// What is compared.
    pub(super) what: &'static str,
    /// The word for where the published value comes from.
    pub(super) source: String,
    /// How many numbers.
    pub(super) count: usize,
    /// Of these the worst.
    pub(super) at: usize,
    /// The number there, if there is one.
    pub(super) published: Option<f64>,
    pub(super) ours: Option<f64>,
    /// The worst difference; of what has to be equal, in how many places it is not.
    pub(super) worst: f64,
    pub(super) allowed: f64,
}

impl Check {
    /// Whether ours is as published.
    pub(super) fn holds(&self) -> bool {
        self.worst <= self.allowed
    }

    pub(super) fn json(&self, source: &str) -> Value {
        json!({
            "name": self.name, "what": self.what, "source": source, "count": self.count, "at": self.at,
            "published": self.published, "ours": self.ours, "worst": self.worst, "allowed": self.allowed,
            "ok": self.holds(),
        })
    }
}

/// What a check is called, and where the published value comes from.
#[derive(Clone, Copy)]
pub(super) struct Label<'a> {
    pub(super) name: &'a str,
    pub(super) what: &'static str,
    pub(super) source: &'a str,
}

impl Label<'_> {
    /// Lists that have to be equal.
    pub(super) fn equal<T: Copy + PartialEq + Into<f64>>(self, published: &[T], ours: &[T]) -> Check {
        let count = published.len().max(ours.len());
        let differ = |i: &usize| published.get(*i) != ours.get(*i);
        let at = (0..count).find(differ).unwrap_or(0);
        let worst = (0..count).filter(differ).count() as f64;
        self.check(count, at, number(published, at), number(ours, at), worst, 0.0)
    }

    /// Codes of which each may be `allowed` off.
    pub(super) fn codes(self, published: &[i8], ours: &[i8], allowed: u8) -> Check {
        let difference = |(a, b): (&i8, &i8)| f64::from(a.abs_diff(*b));
        self.worst_of(published, ours, difference, f64::from(allowed))
    }

    /// Signs, which have to be equal where `float32` is 0 or further from 0 than `zone`.
    pub(super) fn signs(self, published: &[i8], ours: &[i8], float32: &[f32], zone: f32) -> Check {
        let certain = |i: &usize| float32[*i] == 0.0 || float32[*i].abs() > zone;
        let differ: Vec<usize> =
            (0..published.len()).filter(certain).filter(|&i| published.get(i) != ours.get(i)).collect();
        let at = differ.first().copied().unwrap_or(0);
        self.check(published.len(), at, number(published, at), number(ours, at), differ.len() as f64, 0.0)
    }

    /// Two vectors whose cosine is at least `least`. The difference is what the cosine lacks to 1.
    pub(super) fn cosine(self, published: &[i8], ours: &[i8], least: f64) -> Check {
        let found = (published.len() == ours.len()).then(|| cosine(published, ours));
        let worst = found.map_or(f64::INFINITY, |found| 1.0 - found);
        self.check(1, 0, Some(1.0), found, worst, 1.0 - least)
    }

    /// The first numbers of vectors of which all together have a cosine of at least `least`. The difference is the length
    /// of the difference in parts of the published length, allowed is `sqrt(2 - 2 least)`: that is the same for whole
    /// vectors of one length (the law of cosines), and unlike a cosine it sees a wrong length.
    pub(super) fn prefix(self, published: &[f32], ours: &[f32], least: f64) -> Check {
        let off = self.worst_of(published, ours, |(a, b)| (f64::from(*a) - f64::from(*b)).abs(), 0.0);
        let differences: Vec<f64> = published.iter().zip(ours).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
        let published: Vec<f64> = published.iter().map(|&v| f64::from(v)).collect();
        let distance = length(&differences);
        let relative = if distance == 0.0 { 0.0 } else { distance / length(&published) };
        let worst = if off.worst.is_finite() { relative } else { off.worst };
        Check { worst, allowed: (2.0 - 2.0 * least).max(0.0).sqrt(), ..off }
    }

    /// A number that may be `atol + rtol |published|` off, as numpy's `allclose` has it.
    pub(super) fn near(self, published: f64, ours: f64, [atol, rtol]: [f64; 2]) -> Check {
        let allowed = atol + rtol * published.abs();
        self.check(1, 0, Some(published), Some(ours), (published - ours).abs(), allowed)
    }

    /// The worst of the differences between as many numbers as are published; without limit where ours are fewer.
    fn worst_of<T: Copy + Into<f64>>(
        self,
        published: &[T],
        ours: &[T],
        difference: impl Fn((&T, &T)) -> f64,
        allowed: f64,
    ) -> Check {
        let differences = published.iter().zip(ours).map(difference).enumerate();
        let (at, worst) = match ours.len() < published.len() {
            true => (ours.len(), f64::INFINITY),
            // Of equal ones the first.
            false => differences.rev().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0)),
        };
        self.check(published.len(), at, number(published, at), number(ours, at), worst, allowed)
    }

    fn check(
        self,
        count: usize,
        at: usize,
        published: Option<f64>,
        ours: Option<f64>,
        worst: f64,
        allowed: f64,
    ) -> Check {
        let Self { name, what, source } = self;
        Check { name: name.into(), what, source: source.into(), count, at, published, ours, worst, allowed }
    }
}

fn number<T: Copy + Into<f64>>(numbers: &[T], at: usize) -> Option<f64> {
    numbers.get(at).map(|&n| n.into())
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The cosine of two vectors of codes; 1 for two of zeros, 0 for one.
pub(super) fn cosine(a: &[i8], b: &[i8]) -> f64 {
    let dot = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { f64::from(u8::from(a == b)) } else { dot(a, b) / lengths }
}
