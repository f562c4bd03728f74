"""Put what was measured into the model card, between its two comment lines, and into scores.json beside it.

    python card.py --scores SCORES --reports DIR [--mini ../mini]

SCORES is evaluate.py's; DIR has the reports of `pplx-embed eval`: dense/SET.json, context/SET.json, late/SET.json, 4bit/SET.json.
"""

import argparse
import json
import re
from pathlib import Path

ENGLISH = ("faq", "foldoc", "handbook", "help", "manuals", "packages")
BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"
BASELINES = {"teacher": "teacher", "random": "random weights", "static table": "static"}
MEASURES = ("ndcg@10", "recall@100", "mrr@10")


def measured(reports):
    """{set: {row: {measure: value}}}; a row is such as `int8 128` or `late float`."""
    found = {}
    for path in sorted(reports.glob("*/*.json")):
        kind = "" if path.parent.name == "dense" else f"{path.parent.name} "
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
    four = total("4bit int8 256") / total("int8 256") - 1
    lines.append(f"In 4 bits `int8 256` changes by {100 * four:+.1f} % on the English sets; 8 bits were kept." if abs(four) >= 0.01
                 else f"In 4 bits `int8 256` changes by {100 * four:+.1f} %.")  # fmt: skip
    return " ".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--reports", type=Path, required=True)
    parser.add_argument("--mini", type=Path, default=Path(__file__).resolve().parent.parent / "mini")
    options = parser.parse_args()
    scores, ours = json.loads(options.scores.read_text()), measured(options.reports)
    for name, rows in ours.items():
        rows |= {row: {"ndcg@10": round(scores[name][row], 6)} for row in BASELINES}
        rows["unquantised int8 256"] = {"ndcg@10": round(scores[name]["int8 256"], 6)}
    sets = [*ENGLISH, *sorted(set(ours) - set(ENGLISH))]
    order = list(dict.fromkeys(r for s in sets for r in ours[s]))
    first = ["bm25", *BASELINES, "unquantised int8 256"]
    rows = {BASELINES.get(r, r): {s: ours[s][r]["ndcg@10"] for s in sets if r in ours[s]} for r in dict.fromkeys([*first, *order])}
    text = f"{table(rows, sets)}\n\n{summary(ours)}"
    card = (options.mini / "README.md").read_text(encoding="utf-8")
    card = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{text}\n\n{END}", card, flags=re.S)
    (options.mini / "README.md").write_text(card, encoding="utf-8")
    (options.mini / "scores.json").write_text(json.dumps({s: ours[s] for s in sets}, indent=1) + "\n")


if __name__ == "__main__":
    main()
