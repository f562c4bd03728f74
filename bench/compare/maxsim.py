"""MaxSim by others: one query of 32 tokens with 1,000 documents of 300, in 128 dimensions and float32.

    maxsim.py maxsim-cpu|torch THREADS MS MOST

Prints RESULT and milliseconds a run.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np

engine, threads, ms, most = sys.argv[1], *map(int, sys.argv[2:])
rng = np.random.default_rng(1)
query = rng.standard_normal((32, 128), dtype=np.float32)
documents = rng.standard_normal((1000, 300, 128), dtype=np.float32)

if engine == "maxsim-cpu":
    import maxsim_cpu

    ragged = list(documents)

    def run():
        # Its other function, maxsim_scores, wants documents of one length, and is as quick.
        return maxsim_cpu.maxsim_scores_variable(query, ragged)
else:
    import torch

    torch.set_num_threads(threads)
    q, d = torch.from_numpy(query), torch.from_numpy(documents)

    def run():
        return (d @ q.T).amax(1).sum(1).numpy()


expected = np.einsum("qd,ntd->nqt", query, documents[:20]).max(2).sum(1)
if not np.allclose(np.asarray(run())[:20], expected, rtol=1e-4):
    raise SystemExit("its scores are wrong")
times = []
while len(times) < most and (not times or sum(times) < ms):
    start = time.perf_counter()
    run()
    times.append(1000 * (time.perf_counter() - start))
print("RESULT", json.dumps({"times": times, "version": version(engine)}))
