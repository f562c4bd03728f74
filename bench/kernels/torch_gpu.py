"""Time Hugging Face transformers on this GPU, in bfloat16 with SDPA and no causal mask, on random ids: seconds a call as JSON.

torch_gpu.py MODEL CASES     CASES as in `pplx-embed bench`: 32,32x128,8x2048
"""

import json
import sys
import time

import torch
from transformers import AutoModel

RUNS = 10


def lengths(case):
    count, _, tokens = case.rpartition("x")
    return int(count or 1), int(tokens)


def main():
    name, cases = sys.argv[1:]
    device = "cuda" if torch.cuda.is_available() else "mps"
    wait = torch.cuda.synchronize if device == "cuda" else torch.mps.synchronize
    model = AutoModel.from_pretrained(name, dtype=torch.bfloat16, attn_implementation="sdpa", trust_remote_code=True)
    model = model.to(device).eval()
    results = []
    with torch.inference_mode():
        for case in cases.split(","):
            count, tokens = lengths(case)
            ids = torch.randint(1000, 100_000, (count, tokens), device=device)
            seconds = []
            for _ in range(RUNS):
                start = time.perf_counter()
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
                wait()
                seconds.append(time.perf_counter() - start)
            results.append({"case": case, "tokens": count * tokens, "seconds": sorted(seconds)[RUNS // 2]})
    print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if device == "cuda" else device, "cases": results}))


if __name__ == "__main__":
    main()
