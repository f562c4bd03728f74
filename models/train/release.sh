#!/usr/bin/env bash
# Makes models/mini of the last checkpoint: release.sh WORK. Exports, quantises, evaluates, and fills in the card.
set -euo pipefail
work=$(realpath "$1")
cd "$(dirname "$0")"
mini=../mini
command=../../target/release/pplx-embed

python3 evaluate.py --work "$work" --output "$work/scores.json"
python3 export.py --work "$work" --output "$work/float"
python3 pack.py --float "$work/float" --bits 4 --output "$work/mini-4bit"
python3 pack.py --float "$work/float" --bits 8 --output $mini
python3 plot.py --log "$work/train.jsonl" --output $mini/curves.svg
cp "$work/train.jsonl" $mini/train.jsonl

measure() { # model, name, dimensions, more
  mkdir -p "$work/eval/$2"
  for set in $mini/eval/*/; do
    $command eval --model "$1" --dataset "$set" --dimensions "$3" ${4:-} --output "$work/eval/$2/$(basename "$set").json"
  done
}
measure $mini dense 256,192,128,64 --bm25
measure $mini/context context 256
measure $mini/late late 128
measure "$work/mini-4bit" 4bit 256
python3 card.py --scores "$work/scores.json" --reports "$work/eval" --mini $mini
