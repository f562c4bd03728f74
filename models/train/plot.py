"""Curves of a run as SVG: losses, and nDCG@10 on the sets that are looked at while training.

    python plot.py --log train.jsonl --output curves.svg
"""

import argparse
import json
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP = 420, 240, 48, 28
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


def panel(x0, title, series):
    """One chart. series: name -> [(step, value)]."""
    points = [p for line in series.values() for p in line]
    if not points:
        return ""
    most, low, high = max(p[0] for p in points), min(p[1] for p in points), max(p[1] for p in points)
    high += (high == low) * 1e-3
    x = lambda step: x0 + LEFT + step / most * (WIDTH - LEFT - 90)  # noqa: E731
    y = lambda value: TOP + (high - value) / (high - low) * (HEIGHT - TOP - 30)  # noqa: E731
    parts = [f'<text x="{x0 + LEFT}" y="16" font-weight="bold">{title}</text>']
    for value in (low, (low + high) / 2, high):
        parts.append(f'<text x="{x0 + LEFT - 6}" y="{y(value) + 4:.0f}" text-anchor="end">{value:.2f}</text>')
        parts.append(f'<path d="M{x(0):.0f} {y(value):.1f}H{x(most):.0f}" stroke="#ddd"/>')
    parts.append(f'<text x="{x(most):.0f}" y="{HEIGHT - 10}" text-anchor="end">step {most}</text>')
    last = -99
    for (name, line), colour in zip(sorted(series.items(), key=lambda s: -s[1][-1][1]), COLOURS):
        path = "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in line)
        last = max(last + 13, y(line[-1][1]) + 4)
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{x(most) + 5:.0f}" y="{last:.0f}" fill="{colour}">{name}</text>')
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = {row["step"]: row for row in map(json.loads, options.log.read_text().splitlines())}
    rows = [rows[k] for k in sorted(rows)]
    distance = {"distance": [(r["step"], r["distance"]) for r in rows if "distance" in r]}
    pairs = {k: [(r["step"], r[k]) for r in rows if k in r] for k in ("pairs", "signs", "late")}
    sets = sorted({k for r in rows for k, v in r.items() if isinstance(v, dict)})
    scores = {k: [(r["step"], r[k]["int8 256"]) for r in rows if k in r] for k in sets}
    body = panel(0, "1 - cosine to the teacher", distance) + panel(WIDTH, "cross entropy of pairs", pairs)
    body += panel(2 * WIDTH, "nDCG@10, int8, 256 dimensions", scores)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {3 * WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
    options.output.write_text(f'{head}<rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n')


if __name__ == "__main__":
    main()
