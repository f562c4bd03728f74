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
        length = np.diff(self.starts)
        self.pairs = pairs[np.minimum(length[pairs[:, 0]], length[pairs[:, 1]]) > 0]
        self.teacher = np.load(Path(work) / "teacher.npy", mmap_mode="r")

    def tokens(self, i):
        return self.ids[self.starts[i] : self.starts[i + 1]]

    def taught(self, texts):
        """Whether the teacher has come to each text."""
        return (self.of[texts] >= 0) & (self.of[texts] < self.done)

    def targets(self, texts):
        """The teacher's vectors, float32 [n, 384]; zeros for texts that it has not come to."""
        out = np.zeros((len(texts), self.teacher.shape[1]), np.float32)
        known = self.taught(texts)
        out[known] = self.teacher[self.of[texts[known]]]
        return out

    def same(self, batch):
        """[n, n]: whether two pairs have a text in common, or one that says the same."""
        a, b = (self.of[self.pairs[batch, i]] for i in (0, 1))
        return torch.from_numpy((a[:, None] == a) | (b[:, None] == b) | (a[:, None] == b) | (b[:, None] == a))

    def clusters(self, rng):
        """A cluster for each pair: k-means of the teacher's vectors of the second texts, or else the pair's source."""
        known = np.flatnonzero(self.taught(self.pairs[:, 1]))
        x = self.targets(self.pairs[known, 1])
        count = max(min(CLUSTERS, len(x) // (2 * GROUP)), 1)
        centres = x[rng.choice(len(x), count, replace=False)]
        sample = x[rng.choice(len(x), min(20000, len(x)), replace=False)]
        for _ in range(6):
            nearest = (sample @ centres.T).argmax(1)
            for k in np.unique(nearest):
                centre = sample[nearest == k].mean(0)
                centres[k] = centre / np.linalg.norm(centre)
        cluster = CLUSTERS + self.pairs[:, 2]
        cluster[known] = np.concatenate([(x[i : i + 8192] @ centres.T).argmax(1) for i in range(0, len(x), 8192)])
        return cluster

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
