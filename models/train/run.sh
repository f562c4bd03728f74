#!/usr/bin/env bash
# Trains the small model from nothing: run.sh WORK [STEPS [TEXTS]]. Ended and started again it goes on where it was.
# WORK is a folder for packages, vectors and checkpoints (2 GB); needs Debian 12's apt, requirements.txt in `python3`, and
# the command line (`make build`), which quantizes and evaluates.
set -euo pipefail
work=$(realpath -m "$1")
steps=${2:-8000}
texts=${3:-1000000} # that the teacher is asked for, at most: a thousand a second on two cores with AMX, far fewer without
cd "$(dirname "$0")"
mkdir -p "$work"

[ -f "$work/pairs.jsonl" ] || python3 corpus.py --work "$work"
python3 prepare.py --work "$work" --texts "$texts"
[ -f "$work/static.npz" ] || python3 static.py --work "$work"
python3 train.py --work "$work" --steps "$steps"
./release.sh "$work"
