//! Token pooling: fewer vectors for a document, each the mean of some that are alike (Clavié et al. 2024, "Reducing the
//! Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token Pooling").
//!
//! As PyLate does it, down to the order of the rows: Ward's hierarchical clustering of cosine distances, with scipy's
//! `linkage` and `fcluster`. The first vector, the marker's, stays as it is, and means are not scaled to unit length.

/// Most vectors of a document that can be pooled: the distances between them take 8 bytes for each pair.
pub const MAX_POOLED: usize = 4096;

/// Leading vectors that stay as they are.
const PROTECTED: usize = 1;

/// Pools the vectors `x` `[T, dim]`, all of unit length, to one in `factor`: the first one, then the means of
/// `max((T - 1) / factor, 1)` clusters or, where distances tie, fewer. Gives the rows, and for each the place of the
/// first vector that is in it.
pub fn pool(x: &[f32], dim: usize, factor: u32) -> (Vec<f32>, Vec<usize>) {
    let rows: Vec<&[f32]> = x.chunks_exact(dim).collect();
    let to_pool = &rows[PROTECTED.min(rows.len())..];
    let most = (to_pool.len() / factor.max(1) as usize).max(1);
    if most >= to_pool.len() {
        return (x.to_vec(), (0..rows.len()).collect());
    }
    let tree = Tree::ward(to_pool.len(), |a, b| {
        let dot: f64 = to_pool[a].iter().zip(to_pool[b]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        // The distance is a float32 there.
        f64::from(1.0 - dot as f32)
    });
    let clusters = tree.cut(most);
    let (mut pooled, mut first) = (x[..PROTECTED * dim].to_vec(), (0..PROTECTED).collect::<Vec<_>>());
    for members in clusters {
        let mut mean = vec![0f32; dim];
        for &member in &members {
            mean.iter_mut().zip(to_pool[member]).for_each(|(sum, v)| *sum += v);
        }
        pooled.extend(mean.iter().map(|sum| sum / members.len() as f32));
        first.extend(members.first().map(|m| m + PROTECTED));
    }
    (pooled, first)
}

/// The `leaves - 1` merges of a hierarchical clustering, nearest first. Clusters below `leaves` are single points;
/// cluster `leaves + i` is what merge `i` makes.
struct Tree {
    leaves: usize,
    merges: Vec<Merge>,
}

#[derive(Clone, Copy)]
struct Merge {
    left: usize,
    right: usize,
    distance: f64,
}

impl Tree {
    /// Ward's method by the chain of nearest neighbours (Murtagh 1983), as scipy's `nn_chain`: at least two points.
    fn ward(leaves: usize, distance: impl Fn(usize, usize) -> f64) -> Self {
        let mut d = Distances::new(leaves, distance);
        let mut sizes = vec![1usize; leaves];
        let mut merges: Vec<Merge> = Vec::with_capacity(leaves - 1);
        let mut chain: Vec<usize> = Vec::new();
        while merges.len() < leaves - 1 {
            if chain.is_empty() {
                chain.extend(sizes.iter().position(|&size| size > 0));
            }
            // Along nearest neighbours until two are each other's. The one before wins a tie, or the chain might circle.
            let (x, y, nearest) = loop {
                let x = chain[chain.len() - 1];
                let before = chain.len().checked_sub(2).map(|i| chain[i]);
                let mut y = before.unwrap_or(x);
                let mut nearest = before.map_or(f64::INFINITY, |b| d.get(x, b));
                for i in (0..leaves).filter(|&i| i != x && sizes[i] > 0) {
                    let away = d.get(x, i);
                    if away < nearest {
                        (y, nearest) = (i, away);
                    }
                }
                // Not a number is nobody's neighbour; anyone will do then.
                if before == Some(y) || y == x {
                    let other = sizes.iter().enumerate().position(|(i, &size)| i != x && size > 0);
                    break (x, if y == x { other.unwrap_or(x) } else { y }, nearest);
                }
                chain.push(y);
            };
            chain.truncate(chain.len().saturating_sub(2));
            let (x, y) = (x.min(y), x.max(y));
            let (nx, ny) = (sizes[x] as f64, sizes[y] as f64);
            (sizes[y], sizes[x]) = (sizes[x] + sizes[y], 0);
            merges.push(Merge { left: x, right: y, distance: nearest });
            for i in (0..leaves).filter(|&i| i != y && sizes[i] > 0) {
                // Lance & Williams' update for Ward.
                let ni = sizes[i] as f64;
                let (to_x, to_y, t) = (d.get(i, x), d.get(i, y), 1.0 / (nx + ny + ni));
                let squares = (ni + nx) * t * to_x * to_x + (ni + ny) * t * to_y * to_y - ni * t * nearest * nearest;
                d.set(i, y, squares.sqrt());
            }
        }
        merges.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let mut tree = Self { leaves, merges };
        tree.name_clusters();
        tree
    }

    /// From points that stand for their clusters to the clusters themselves, the lower first.
    fn name_clusters(&mut self) {
        let mut cluster: Vec<usize> = (0..self.leaves).collect();
        let mut parent: Vec<usize> = (0..self.leaves).collect();
        let root = |parent: &[usize], mut point: usize| {
            while parent[point] != point {
                point = parent[point];
            }
            point
        };
        for (i, merge) in self.merges.iter_mut().enumerate() {
            let (a, b) = (root(&parent, merge.left), root(&parent, merge.right));
            let (left, right) = (cluster[a].min(cluster[b]), cluster[a].max(cluster[b]));
            (merge.left, merge.right) = (left, right);
            parent[a] = b;
            cluster[b] = self.leaves + i;
        }
    }

    /// The members of `most` clusters at most, in the order in which scipy's `fcluster` counts them: the tree is walked
    /// from its root, left before right, and points that are alone in their cluster come after their merge's others.
    fn cut(&self, most: usize) -> Vec<Vec<usize>> {
        // The largest distance within each merge; rounding may make a later one smaller.
        let mut spread: Vec<f64> = Vec::with_capacity(self.merges.len());
        for merge in &self.merges {
            let below = [merge.left, merge.right].into_iter().filter_map(|c| c.checked_sub(self.leaves));
            spread.push(below.map(|c| spread[c]).fold(merge.distance, f64::max));
        }
        let mut sorted = spread.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let clusters = |limit: f64| self.leaves - sorted.partition_point(|s| *s <= limit);
        let limit = sorted.iter().copied().find(|&s| clusters(s) <= most).unwrap_or(f64::INFINITY);

        let (mut labels, mut count) = (vec![0; self.leaves], 0);
        let mut leader = None;
        let mut seen = vec![false; self.merges.len()];
        let mut path = vec![self.merges.len() - 1];
        while let Some(&at) = path.last() {
            let Merge { left, right, .. } = self.merges[at];
            if leader.is_none() && spread[at] <= limit {
                leader = Some(at);
                count += 1;
            }
            let unseen = |c: usize| c.checked_sub(self.leaves).filter(|&c| !seen[c]);
            if let Some(next) = unseen(left).or_else(|| unseen(right)) {
                seen[next] = true;
                path.push(next);
                continue;
            }
            for point in [left, right].into_iter().filter(|&c| c < self.leaves) {
                count += usize::from(leader.is_none());
                labels[point] = count;
            }
            if leader == Some(at) {
                leader = None;
            }
            path.pop();
        }
        let mut members = vec![Vec::new(); count];
        for (point, label) in labels.into_iter().enumerate() {
            members[label - 1].push(point);
        }
        members
    }
}

/// The distances between `n` points, each pair once.
struct Distances {
    n: usize,
    pairs: Vec<f64>,
}

impl Distances {
    fn new(n: usize, distance: impl Fn(usize, usize) -> f64) -> Self {
        let distance = &distance;
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| distance(a, b))).collect();
        Self { n, pairs }
    }

    fn place(&self, a: usize, b: usize) -> usize {
        let (a, b) = (a.min(b), a.max(b));
        self.n * a - a * (a + 1) / 2 + (b - a - 1)
    }

    fn get(&self, a: usize, b: usize) -> f64 {
        self.pairs[self.place(a, b)]
    }

    fn set(&mut self, a: usize, b: usize, distance: f64) {
        let place = self.place(a, b);
        self.pairs[place] = distance;
    }
}
