#!/usr/bin/env bash
# Train on all hosts of a Cloud TPU slice, from a checkout on your own machine.
#
#   TPU=my-slice ZONE=europe-west4-b RUN=/mnt/shared/runs/fast \
#     scripts/train_tpu_pod.sh configs/image_fast.py --data /mnt/shared/photos batch=256 precision=bfloat16
#
# The words are those of `jaxicm train`; --distributed, --resume and --out are added. RUN and the pictures lie in folders
# that every host sees: Filestore over NFS, or a bucket. With BUCKET=name that bucket is mounted at ~/bucket on each host
# first (gcsfuse must be installed there): RUN=bucket/runs/fast --data bucket/photos. INSTALL=0 leaves the package on
# the hosts as it is. A slice that was preempted: create it again, run the same line again, it goes on where it was.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ $# -ge 1 ] && [ -n "${TPU:-}" ] && [ -n "${ZONE:-}" ] && [ -n "${RUN:-}" ] || usage
case $RUN in gs://*) echo "RUN=$RUN: mount the bucket with BUCKET=name, and write RUN=bucket/FOLDER" >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."

on_all_hosts() { gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"; }

if [ "${INSTALL:-1}" = 1 ]; then
  archive=$(mktemp -d)/jaxicm.tar.gz
  trap 'rm -r "$(dirname "$archive")"' EXIT
  git archive --format=tar.gz --output="$archive" HEAD
  gcloud compute tpus tpu-vm scp "$archive" "$TPU:jaxicm.tar.gz" --zone="$ZONE" --worker=all
  # The images have Python 3.10; uv brings a newer one.
  on_all_hosts 'set -eu; mkdir -p jaxicm; tar -xzf jaxicm.tar.gz -C jaxicm; cd jaxicm
    python3 -m pip install --quiet --user uv
    [ -x .venv/bin/python ] || python3 -m uv venv --quiet --python 3.12 .venv
    python3 -m uv pip install --quiet --python .venv/bin/python "jax[tpu]" .'
fi
if [ -n "${BUCKET:-}" ]; then
  on_all_hosts "mkdir -p bucket; mountpoint -q bucket || gcsfuse --implicit-dirs $(printf %q "$BUCKET") bucket"
fi
# Folders are relative to the home folder, configurations to the checkout: a link serves both.
words=$(printf ' %q' "$@")
on_all_hosts "set -eu; cd jaxicm; [ -e bucket ] || ln -s ../bucket bucket
  exec .venv/bin/jaxicm train$words --out $(printf %q "$RUN") --distributed --resume"
