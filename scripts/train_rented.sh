#!/usr/bin/env bash
# Spend rented minutes of one accelerator: train for a number of seconds, freeze, print the curve, and check on it what
# no other machine can tell.
#
#   RUN=runs/base TRAIN_S=540 CHECK=kodak bash scripts/train_rented.sh configs/image_base.py --data photos/ \
#     init=jaxicm/codecs/weights_released/base.safetensors
#
# The words are those of `jaxicm train`; --out, --resident and duration_s are added, and the schedule ends with the
# seconds. RUN gets the checkpoints and weights.safetensors, and where CHECK names pictures or a folder, devices-*.json:
# whether a CPU decodes what the accelerator wrote and the other way round, at float32 and bfloat16, one picture at a
# time and eight; and throughput.json, pictures of 1920x1080 a second. Where RUN holds a run already, it goes on. A run
# that has logged no step after PATIENCE_S seconds (240) is ended: the rest of the time is worth more than its hope.
set -euo pipefail
if [ $# -lt 1 ] || [ -z "${RUN:-}" ] || [ -z "${TRAIN_S:-}" ]; then
  echo "usage: RUN=FOLDER TRAIN_S=SECONDS [CHECK=PICTURES] bash scripts/train_rented.sh CONFIG [WORDS OF jaxicm train]" >&2
  exit 2
fi
python=${PYTHON:-python3}
if [ -x .venv/bin/python ] && [ -z "${PYTHON:-}" ]; then python=.venv/bin/python; fi
jaxicm() { "$python" -m jaxicm.cli "$@"; }
# Trying out Triton's variants of all products takes minutes, which their speed does not bring back. Convolutions must be
# tried out: with --xla_gpu_autotune_level=0 a run did not log its 100th step in 500 seconds.
export XLA_FLAGS="${XLA_FLAGS:-} --xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=2"
resume=()
if [ -e "$RUN/config.json" ]; then resume=(--resume); fi
logged() { grep -c '"event": "train"' "$RUN/log.jsonl" 2>/dev/null || true; }
before=$(logged)
"$python" -m jaxicm.cli train "$@" --out "$RUN" --resident "${resume[@]}" "duration_s=$TRAIN_S" &
training=$!
# In the background it would not hear of Ctrl-C; told to stop it saves its state.
stop() {
  kill -TERM "$training" 2>/dev/null || true
  wait "$training" || true
  exit 130
}
trap stop INT TERM
watch() {
  for ((second = 0; second < ${PATIENCE_S:-240}; second++)); do
    sleep 1
    if ! kill -0 "$training" 2>/dev/null || [ "$(logged)" != "$before" ]; then return; fi
  done
  echo "train_rented.sh: no step was logged in ${PATIENCE_S:-240} seconds; set PATIENCE_S if compiling takes longer" >&2
  kill -KILL "$training"
}
watch &
wait "$training"
trap - INT TERM
JAX_PLATFORMS=cpu jaxicm freeze "$RUN" "$RUN/weights.safetensors"
JAX_PLATFORMS=cpu jaxicm progress "$RUN" || echo "the run had no validation, so that there is no curve"
[ -n "${CHECK:-}" ] || exit 0
for precision in float32 bfloat16; do
  for pictures in 1 8; do
    jaxicm bench devices "$CHECK" --model "$RUN/weights.safetensors" --precision "$precision" --jobs "$pictures" \
      --json "$RUN/devices-$precision-$pictures.json"
  done
done
jaxicm bench throughput --model "$RUN/weights.safetensors" --json "$RUN/throughput.json"
