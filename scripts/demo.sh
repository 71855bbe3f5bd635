#!/usr/bin/env bash
# Make an environment, compress a sample picture (or the one named), decode it and compare it with JPEG and AVIF.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh base .
exec jaxicm demo "$@" --out demo
