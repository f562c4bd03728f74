"""Put what was measured into the model card, between its two comment lines, and into eval/scores.json beside it.

    python card.py --scores SCORES --reports DIR [--mini ../mini]

SCORES is evaluate.py's; DIR has the reports of `pplx-embed eval`: 8bit/SET.json, 4bit/SET.json, context/SET.json, late/SET.json.
With --choose it says how many bits the weights are to have: 4 if that loses less than 1 % of nDCG@10 with int8 vectors.
"""

import argparse
import json
import re
from pathlib import Path

ENGLISH = ("faq", "foldoc", "handbook", "help", "manuals", "packages")
BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"
BASELINES = {"teacher": "teacher", "random": "random weights", "static table": "static"}
MEASURES = ("ndcg@10", "recall@100", "mrr@10")


def measured(reports, bits):
    """{set: {row: {measure: value}}}; a row is such as `int8 128` or `late float 128`, of weights with so many bits."""
    found = {}
    for path in sorted(reports.glob("*/*.json")):
        kind = "" if path.parent.name == f"{bits}bit" else f"{path.parent.name} "
        for result in json.loads(path.read_text())["results"]:
            row = f"{kind}{result['form']} {result['dimensions']}" if "dimensions" in result else result["form"]
            found.setdefault(path.stem, {})[row] = {m: round(result[m], 6) for m in MEASURES}
    return found


def table(rows, sets):
    """`rows`: name -> {set: value}. English sets have their mean."""
    lines = ["| | " + " | ".join(sets) + " | English mean |", "|---|" + "---:|" * (len(sets) + 1)]
    for name, values in rows.items():
        cells = [f"{100 * values[s]:.1f}" if s in values else "" for s in sets]
        whole = [values[s] for s in ENGLISH if s in values]
        cells.append(f"{100 * sum(whole) / len(whole):.1f}" if len(whole) == len(ENGLISH) else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(scores):
    """What the goals were, and what came of them."""
    value = lambda row, s: scores[s][row]["ndcg@10"]  # noqa: E731
    total = lambda row: sum(value(row, s) for s in ENGLISH)  # noqa: E731
    lines = []
    for row in ("int8 256", "late float 128"):
        above = [s for s in ENGLISH if value(row, s) > value("bm25", s)]
        lines.append(f"`{row}` reaches {100 * total(row) / total('teacher'):.0f} % of the teacher's mean on the English sets, and is above "
                     f"BM25 on {len(above)} of {len(ENGLISH)}" + (f" ({', '.join(above)})." if above else "."))  # fmt: skip
    return " ".join(lines)


def change(reports):
    """What 4 bits change of the mean nDCG@10 of all sets, as a share of that with 8."""
    eight, four = (measured(reports, bits) for bits in (8, 4))
    total = lambda scores: sum(rows["int8 256"]["ndcg@10"] for rows in scores.values())  # noqa: E731
    return total(four) / total(eight) - 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--mini", type=Path, default=Path(__file__).resolve().parent.parent / "mini")
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    changed = change(options.reports)
    bits, other = (4, 8) if changed > -0.01 else (8, 4)
    if options.choose:
        print(bits)
        return
    scores, ours = json.loads(options.scores.read_text()), measured(options.reports, bits)
    for name, rows in ours.items():
        rows |= {row: {"ndcg@10": round(scores[name][row], 6)} for row in BASELINES}
        rows["unquantized int8 256"] = {"ndcg@10": round(scores[name]["int8 256"], 6)}
    sets = [*ENGLISH, *sorted(set(ours) - set(ENGLISH))]
    order = list(dict.fromkeys(r for s in sets for r in ours[s] if not r.startswith(f"{other}bit") or r.endswith("int8 256")))
    first = ["bm25", *BASELINES, "unquantized int8 256"]
    names = BASELINES | {"bm25": "BM25"}
    rows = {names.get(r, r): {s: ours[s][r]["ndcg@10"] for s in sets if r in ours[s]} for r in dict.fromkeys([*first, *order])}
    choice = f"4-bit weights change the mean of all sets by {100 * changed:+.1f} % from 8-bit ones; these have {bits} bits."
    text = f"{table(rows, sets)}\n\n{summary(ours)} {choice}"
    card = (options.mini / "README.md").read_text(encoding="utf-8")
    card = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{text}\n\n{END}", card, flags=re.S)
    (options.mini / "README.md").write_text(card, encoding="utf-8")
    (options.mini / "eval/scores.json").write_text(json.dumps({s: ours[s] for s in sets}, indent=1) + "\n")


if __name__ == "__main__":
    main()
