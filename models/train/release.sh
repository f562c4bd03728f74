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
for kind in . context late; do
  for set in $mini/eval/*/; do
    name=$(basename "$set")
    report=$work/eval/$kind/$name.json
    mkdir -p "$(dirname "$report")"
    $command eval --model "$mini/$kind" --dataset "$set" --output "$report"
    [ $kind != . ] || $command eval --model "$work/mini-4bit" --dataset "$set" --output "$work/eval/4bit-$name.json"
  done
done
python3 card.py --scores "$work/scores.json" --reports "$work/eval" --mini $mini
