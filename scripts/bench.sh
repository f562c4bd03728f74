#!/usr/bin/env bash
# Compares this package with other engines on one model (bench/compare): installs them, makes the model, measures.
# bench/compare/run.mjs says what can be chosen. FULL=1 takes the whole 28 layers of the 0.6B shape (9 GB of disk).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

AT=target/bench
HERE=bench/compare
PYTHON=$AT/venv/bin/python
if [ -n "${FULL:-}" ]; then NAME_OF_MODEL=full LAYERS=28; else NAME_OF_MODEL=two-layers LAYERS=2; fi
MODEL=$AT/models/$NAME_OF_MODEL
mkdir -p $AT/models

# Anew whenever the versions that are asked for have changed.
if [ ! -x $PYTHON ] || ! cmp -s $HERE/requirements.txt $AT/venv/requirements.txt; then
  echo "bench: Python libraries (several GB: torch comes with its own GPU libraries)"
  rm -rf $AT/venv
  python3 -m venv $AT/venv
  $PYTHON -m pip install --quiet --requirement $HERE/requirements.txt
  cp $HERE/requirements.txt $AT/venv/requirements.txt
fi
if ! cmp -s $HERE/package-lock.json $HERE/node_modules/.package-lock-asked.json; then
  echo "bench: JavaScript libraries"
  npm --prefix $HERE ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp $HERE/package-lock.json $HERE/node_modules/.package-lock-asked.json
fi

# Under another name until it is whole.
if [ ! -d $MODEL ]; then
  echo "bench: a model of $LAYERS layers, in every engine's format"
  rm -rf $MODEL.partial
  mkdir -p $MODEL.partial
  $PYTHON $HERE/make_model.py $MODEL.partial --layers $LAYERS ${GPU:+--gpu}
  for bits in 4 8; do
    target/release/pplx-embed quantize --model $MODEL.partial/f32 --bits $bits --output $MODEL.partial/q$bits
  done
  mv $MODEL.partial $MODEL
fi
if [ -n "${GPU:-}" ] && [ ! -f $MODEL/f32/onnx/separate.onnx ]; then
  echo "bench: the model for WebGPU"
  $PYTHON $HERE/make_model.py $MODEL --layers $LAYERS --gpu --only-missing
fi
exec node $HERE/run.mjs
