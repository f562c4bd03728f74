"""Put the scores of scores.json into the model card, between its two comment lines.

    python card.py --scores ../mini/scores.json --card ../mini/README.md
"""

import argparse
import json
import re
from pathlib import Path

from losses import SIZES

ENGLISH = ("faq", "foldoc", "handbook", "help", "manuals", "packages")
BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"
ROWS = (
    "BM25", "teacher", "random", "static first", "static table",
    *(f"{form} {size}" for form in ("float", "int8", "binary") for size in SIZES[::-1]), "late",
)  # fmt: skip


def tables(scores):
    sets = [*ENGLISH, *sorted(set(scores) - set(ENGLISH))]
    lines = ["| nDCG@10 | " + " | ".join(sets) + " | English mean |", "|---|" + "---:|" * (len(sets) + 1)]
    for row in ROWS:
        values = [scores[s][row] for s in sets]
        mean = sum(scores[s][row] for s in ENGLISH) / len(ENGLISH)
        lines.append(f"| {row} | " + " | ".join(f"{100 * v:.1f}" for v in values) + f" | {100 * mean:.1f} |")
    best = "int8 256"
    share = sum(scores[s][best] for s in ENGLISH) / sum(scores[s]["teacher"] for s in ENGLISH)
    above = [s for s in ENGLISH if scores[s][best] > scores[s]["BM25"]]
    lines += ["", f"With int8 codes of 256 dimensions it reaches {100 * share:.0f} % of the teacher on the English sets, and is "
              f"above BM25 on {len(above)} of {len(ENGLISH)}" + (f" ({', '.join(above)})." if above else ".")]  # fmt: skip
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True)
    options = parser.parse_args()
    table = tables(json.loads(options.scores.read_text()))
    card = options.card.read_text(encoding="utf-8")
    card = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{table}\n\n{END}", card, flags=re.S)
    options.card.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
