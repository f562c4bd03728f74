"""Quantize the exported repositories with this project's own command into models/mini, sharing what is equal.

    python pack.py --float DIR [--output DIR] [--bits 8] [--command ../../target/release/pplx-embed]

`context` and `late` hold the same weights and tokenizer as the folder above them, so those become links to its files.
"""

import argparse
import filecmp
import shutil
import subprocess
import tempfile
from pathlib import Path

from export import SHARED, share

HERE = Path(__file__).resolve().parent
KEPT = ("eval", "README.md", "train.jsonl", "curves.svg")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--float", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=HERE.parent / "mini")
    parser.add_argument("--bits", default="8")
    parser.add_argument("--command", type=Path, default=HERE.parents[1] / "target/release/pplx-embed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "mini"
        for name in ("", "context", "late"):
            part = Path(folder) / "part"
            subprocess.run([options.command, "quantize", "--model", options.float / name, "--bits", options.bits, "--output", part], check=True)
            (part / "README.md").unlink()  # the card here says more
            if name:
                for file in SHARED:
                    assert filecmp.cmp(part / file, made / file, shallow=False), f"{name}/{file} is not the one above it"
                share(part, SHARED)
            part.rename(made / name)
        for old in options.output.iterdir() if options.output.exists() else []:
            if old.name not in KEPT:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copytree(made, options.output, symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
