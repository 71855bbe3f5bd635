#!/usr/bin/env bash
# Make an environment with the tools of development, check style and types, run the tests (but the slow ones).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh dev '.[dev]'
ruff check .
ruff format --check .
pyright
exec python -m pytest -m "not slow" -n 2 --dist loadfile "$@"
