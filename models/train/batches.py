"""Pairs in batches of which groups are about the same thing, so that what is not a text's partner is hard to tell."""

import json
from pathlib import Path

import numpy as np
import torch

GROUP = 32  # pairs of one cluster that stand together in a batch
CLUSTERS = 256


class Pool:
    """Texts as ids, pairs of them and the teacher's vectors, as far as prepare.py has come."""

    def __init__(self, work):
        data = np.load(Path(work) / "texts.npz")
        self.ids, self.starts, of = data["ids"], data["starts"], data["of"]
        self.done = json.loads((Path(work) / "teacher.json").read_text())["done"]
        # A text that is not English has the vector of the English text that says the same.
        self.of = of
        pairs = np.load(Path(work) / "pool.npy")
        reach = np.maximum(np.maximum(pairs[:, 0], pairs[:, 1]), np.maximum(of[pairs[:, 0]], of[pairs[:, 1]]))
        known = (of[pairs[:, 0]] >= 0) & (of[pairs[:, 1]] >= 0)
        short = np.minimum(np.diff(self.starts)[pairs[:, 0]], np.diff(self.starts)[pairs[:, 1]]) > 0
        self.pairs = pairs[(reach < self.done) & known & short]
        self.teacher = np.load(Path(work) / "teacher.npy", mmap_mode="r")

    def tokens(self, i):
        return self.ids[self.starts[i] : self.starts[i + 1]]

    def targets(self, texts):
        """The teacher's vectors, float32 [n, 384]."""
        return np.asarray(self.teacher[self.of[texts]], np.float32)

    def clusters(self, rng):
        """A cluster for each pair: k-means of the teacher's vectors of the second texts."""
        x = self.targets(self.pairs[:, 1])
        centres = x[rng.choice(len(x), min(CLUSTERS, len(x)), replace=False)]
        sample = x[rng.choice(len(x), min(20000, len(x)), replace=False)]
        for _ in range(6):
            nearest = (sample @ centres.T).argmax(1)
            for k in np.unique(nearest):
                centre = sample[nearest == k].mean(0)
                centres[k] = centre / np.linalg.norm(centre)
        return np.concatenate([(x[i : i + 8192] @ centres.T).argmax(1) for i in range(0, len(x), 8192)])

    def epoch(self, seed, size, clusters):
        """Batches of `size` pairs, as indices into `pairs`."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.pairs))
        order = order[np.argsort(clusters[order], kind="stable")]
        groups = order[: len(order) // GROUP * GROUP].reshape(-1, GROUP)
        groups = groups[rng.permutation(len(groups))]
        per_batch = size // GROUP
        return [groups[i : i + per_batch].ravel() for i in range(0, len(groups) - per_batch + 1, per_batch)]


def padded(rows, width):
    """ids int64 [n, width] and keep float32 [n, width]."""
    ids, keep = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.float32)
    for i, row in enumerate(rows):
        row = row[:width]
        ids[i, : len(row)], keep[i, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(keep)
