#!/usr/bin/env bash
# The check of a GPU on a machine that has Python with torch, and no network:
#   bash benchmarks/gpu/gpu_check.sh --data DIR --out DIR
# What the machine lacks lies as wheels in the folder wheels/ beside this file (README.md says how
# to fill it); they are unpacked into a temporary folder, and nothing is installed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$here/wheels/*.whl" >/dev/null; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$here"/wheels/*.whl
fi
export PYTHONPATH=$site:$here/../..${PYTHONPATH:+:$PYTHONPATH}
export TORCHINDUCTOR_CACHE_DIR=$site/inductor CUBLAS_WORKSPACE_CONFIG=:4096:8 PYTHONUNBUFFERED=1
"$python" -m benchmarks.gpu "$@"
