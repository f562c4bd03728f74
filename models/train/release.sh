#!/usr/bin/env bash
# Makes models/mini of the last checkpoint: release.sh WORK. Exports, quantizes, evaluates, and fills in the card.
set -euo pipefail
work=$(realpath "$1")
cd "$(dirname "$0")"
mini=../mini
command=../../target/release/pplx-embed

python3 evaluate.py --work "$work" --output "$work/scores.json"
python3 export.py --work "$work" --output "$work/float"
for bits in 4 8; do python3 pack.py --float "$work/float" --bits $bits --output "$work/mini-${bits}bit"; done

measure() { # model, name, dimensions, more
  mkdir -p "$work/eval/$2"
  for set in $mini/eval/*/; do
    $command eval --model "$1" --dataset "$set" --dimensions "$3" ${4:-} --work "$work/vectors" --output "$work/eval/$2/$(basename "$set").json"
  done
}
for bits in 4bit 8bit; do measure "$work/mini-$bits" $bits 256,192,128,64 --bm25; done
bits=$(python3 card.py --reports "$work/eval" --choose)
python3 pack.py --float "$work/float" --bits "$bits" --output $mini
measure $mini/context context 256
measure $mini/late late 128
python3 plot.py --log "$work/train.jsonl" --output $mini/curves.svg
cp "$work/train.jsonl" $mini/train.jsonl
python3 card.py --scores "$work/scores.json" --reports "$work/eval" --mini $mini
