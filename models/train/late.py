"""The late interaction head: a projection of each token's vector, and the token sequences that it is given."""

import string

import torch
import torch.nn.functional as F
from torch import nn

from encoder import LATE_DIMENSIONS, SHAPE

QUERY_MARKER, DOCUMENT_MARKER, FILLING = 19998, 19999, 19992  # the last regular entry fills queries up
SEPARATOR = 19993  # <|endoftext|>, between the chunks of a document
QUERY_LENGTH, DOCUMENT_LENGTH = 32, 512


class LateHead(nn.Module):
    """[B, T, H] -> unit vectors [B, T, 128]. Begins as the first 128 dimensions."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(SHAPE["hidden_size"], LATE_DIMENSIONS, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(LATE_DIMENSIONS, SHAPE["hidden_size"]))

    def forward(self, hidden):
        return F.normalize(self.linear(hidden), dim=-1)


# The byte-level alphabet has printable ASCII first, in order: "!" is token 0.
SKIPPED = frozenset(ord(c) - ord("!") for c in string.punctuation)


def late_rows(rows, query, longest=DOCUMENT_LENGTH):
    """Token sequences with marker and filling, and for each the places whose vectors count."""
    if query:
        rows = [[QUERY_MARKER, *r][:QUERY_LENGTH] for r in rows]
        rows = [r + [FILLING] * (QUERY_LENGTH - len(r)) for r in rows]
        return rows, [list(range(QUERY_LENGTH))] * len(rows)
    rows = [[DOCUMENT_MARKER, *r][:longest] for r in rows]
    return rows, [[i for i, t in enumerate(r) if t not in SKIPPED] for r in rows]
