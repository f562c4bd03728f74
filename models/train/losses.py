"""Losses, over vectors as they will be used: tanh, int8 or binary codes, and every Matryoshka size."""

import torch
import torch.nn.functional as F

SIZES = (64, 128, 192, 256)
SAME = 0.9  # texts that the teacher finds this alike are not held against each other


def int8(x):
    """`round(127 tanh x) / 127`; the gradient is that of tanh."""
    y = torch.tanh(x)
    return y + ((127 * y).round() / 127 - y).detach()


def binary(x):
    """The sign; the gradient is that of tanh."""
    y = torch.tanh(2 * x)
    return y + (torch.where(x >= 0, 1.0, -1.0) - y).detach()


def distillation(x, target):
    """1 - cosine to the teacher, the mean over the sizes and the texts that have a target.

    x: [n, 256], codes or floats; target: [n, D], D at most 256, zeros where there is none.
    """
    known = (target.abs().sum(-1) > 0).float()
    sizes = [min(k, target.shape[1]) for k in SIZES]
    near = sum(F.cosine_similarity(x[:, :k], target[:, :k]) for k in sizes) / len(sizes)
    return ((1 - near) * known).sum() / known.sum().clamp(min=1)


def contrastive(scores, whole, same, share=0.3, temperature=0.03):
    """Cross entropy of each row and column to its partner on the diagonal, and to the teacher's view of the others.

    scores: [n, n], already over their temperature; whole: the teacher's vectors of the texts that stand for the columns,
    zeros where there is none; same: pairs that are not to be told apart.
    """
    n = len(scores)
    eye = torch.eye(n, device=scores.device)
    like = whole @ whole.T
    hidden = (same | (like > SAME)) & (eye == 0)
    known = (whole.abs().sum(-1) > 0).float()
    share = share * known[:, None]
    others = (like / temperature).masked_fill(known[None] == 0, -1e4).softmax(-1)
    target = (share * others + (1 - share) * eye).masked_fill(hidden, 0)
    target = target / target.sum(-1, keepdim=True)
    row = scores.masked_fill(hidden, -1e4).log_softmax(-1)
    column = scores.T.masked_fill(hidden, -1e4).log_softmax(-1)
    return -0.5 * ((target * row).sum(-1) + (target * column).sum(-1)).mean()


def cosines(a, b, temperature):
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature


def maxsim(query, document, keep):
    """Mean over a query's vectors of the best cosine. [n, Tq, D], [m, Td, D], keep [m, Td] -> [n, m]."""
    scores = torch.einsum("qid,pjd->qpij", query, document)
    scores = scores.masked_fill(keep[None, :, None, :] == 0, -1e4)
    return scores.amax(-1).mean(-1)
