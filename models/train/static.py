"""Where training begins: one vector a token, whose mean is near the teacher's vector of the whole text.

    python static.py --work DIR

Token vectors are the teacher's of the token alone (Model2Vec, Tulkens & van Dongen 2024), turned to 255 dimensions by
the principal directions of the teacher's vectors, weighted by a/(a + frequency) (Arora et al. 2017), and then fitted to
texts. Within each Matryoshka block the directions are rotated at random, so that each dimension of a block says as much
as the next and a sign is worth a bit.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from batches import Pool
from losses import SIZES, contrastive, cosines, distillation

TARGET = 255  # the last dimension of the network is left for a token's weight, see `to_encoder`
WEIGHT = 1e-3


def directions(pool, rng):
    """[384, 255] with orthonormal columns: principal directions, rotated within each block."""
    rows = rng.choice(pool.done, min(60000, pool.done), replace=False)
    x = np.asarray(pool.teacher[np.sort(rows)], np.float32)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    vectors, values = vectors[:, ::-1], values[::-1]
    print(f"{TARGET} directions keep {values[:TARGET].sum() / values.sum():.3f}, 64 keep {values[:64].sum() / values.sum():.3f}")
    blocks, start = [], 0
    for size in SIZES:
        end = min(size, TARGET)
        rotation, _ = np.linalg.qr(rng.standard_normal((end - start, end - start)))
        blocks.append(vectors[:, start:end] @ rotation)
        start = end
    return np.concatenate(blocks, 1).astype(np.float32)


def fit(pool, table, projection, epochs, size, seed):
    """Fits the table [V, 255] to the teacher's vectors of texts, and to pairs."""
    clusters = pool.clusters(np.random.default_rng(seed))
    weights = torch.nn.Parameter(torch.from_numpy(table))
    optimizer = torch.optim.Adam([weights], lr=1e-3, betas=(0.9, 0.99))
    projection = torch.from_numpy(projection)
    total, step, began = epochs * (len(pool.pairs) // size), 0, time.time()
    for epoch in range(epochs):
        for batch in pool.epoch([seed, epoch], size, clusters):
            texts = pool.pairs[batch, :2].T.ravel()
            rows = [pool.tokens(i) for i in texts]
            ids = torch.from_numpy(np.concatenate(rows).astype(np.int64))
            offsets = torch.from_numpy(np.cumsum([0, *map(len, rows[:-1])]))
            y = F.embedding_bag(ids, weights, offsets, mode="mean")
            whole = torch.from_numpy(pool.targets(texts))
            distance = distillation(y, whole @ projection)
            n, same = len(batch), pool.same(batch)
            pair = sum(contrastive(cosines(y[:n, :k], y[n:, :k], 0.05), whole[n:], same) for k in (64, TARGET)) / 2
            optimizer.param_groups[0]["lr"] = 3e-3 * max(1 - step / total, 0.02)
            optimizer.zero_grad()
            (distance + pair).backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                print(f"static {step} of {total}: distance {distance.item():.4f}, pairs {pair.item():.3f}, {time.time() - began:.0f} s", flush=True)
    return weights.detach().numpy()


def to_encoder(encoder, table):
    """An encoder that computes the mean of the table's rows.

    Its final norm makes all token vectors equally long, so a token's weight is put into how much of its length is in the
    last dimension, which the norm's own weight then drops. Layers begin by adding nothing, and rows are so long that what
    layers add while they learn their first steps is small beside them.
    """
    length = np.linalg.norm(table, axis=1)
    longest = np.quantile(length, 0.995)
    rows = table / np.maximum(length, longest)[:, None]
    rest = np.sqrt(np.maximum(1 - np.square(rows).sum(1), 0))
    with torch.no_grad():
        table = np.concatenate([rows, rest[:, None]], 1)
        encoder.embed_tokens.weight.copy_(torch.from_numpy(table * table.shape[1] ** 0.5))
        for layer in encoder.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        encoder.norm.weight.fill_(1.0)
        encoder.norm.weight[TARGET:] = 0
    return encoder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(4)
    pool = Pool(options.work)
    projection = directions(pool, rng)
    count = np.bincount(pool.ids[: pool.starts[pool.done]], minlength=20000) + 1
    words = np.load(options.work / "vocabulary.npy").astype(np.float32)
    table = (words @ projection) * (WEIGHT / (WEIGHT + count / count.sum()))[:, None].astype(np.float32)
    fitted = fit(pool, table.copy(), projection, options.epochs, 512, 5)
    np.savez(options.work / "static.npz", projection=projection, first=table, table=fitted)


if __name__ == "__main__":
    main()
