#!/usr/bin/env bash
# Trains the small model from nothing: run.sh WORK [STEPS [TEXTS]]. Ended and started again it goes on where it was.
# WORK is a folder for packages, vectors and checkpoints (2 GB); needs Debian 12's apt, and requirements.txt in `python3`.
set -euo pipefail
work=$(realpath -m "$1")
steps=${2:-8000}
texts=${3:-100000} # that the teacher is asked for: all of them are the better part of a day on two busy cores
cd "$(dirname "$0")"
mkdir -p "$work"

[ -f "$work/pairs.jsonl" ] || python3 corpus.py --work "$work"
python3 prepare.py --work "$work" --texts "$texts"
[ -f "$work/static.npz" ] || python3 static.py --work "$work"
python3 train.py --work "$work" --steps "$steps"
python3 evaluate.py --work "$work" --output ../mini/scores.json
python3 plot.py --log "$work/train.jsonl" --output ../mini/curves.svg
cp "$work/train.jsonl" ../mini/train.jsonl
python3 card.py --scores ../mini/scores.json --card ../mini/README.md
python3 export.py --work "$work"
