#!/usr/bin/env bash
# Train on a list of hosts over ssh, one process a host: for machines without SLURM that are no TPU slice.
#
#   HOSTS="gpu1 gpu2 gpu3" RUN=/shared/runs/fast \
#     scripts/train_hosts.sh configs/image_fast.py --data /shared/photos batch=256 precision=bfloat16
#
# The words are those of `jaxicm train`; --coordinator, --processes, --process, --resume and --out are added. On every
# host this checkout with its .venv lies in the same folder (FOLDER, by default the one here), and RUN and the pictures
# are on a file system that all share. Process 0 runs on the first host; the others reach it at PORT (29400).
# Ctrl-C asks all processes to save and stop; the same line goes on. If one fails, the others are stopped. It needs bash
# 4.4 and setsid.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ $# -ge 1 ] && [ -n "${HOSTS:-}" ] && [ -n "${RUN:-}" ] || usage
folder=${FOLDER:-$(cd "$(dirname "$0")/.." && pwd)}
port=${PORT:-29400}
read -r -a hosts <<<"$HOSTS"

# Each process leaves its number, by which it can be told to stop.
number_of() { printf '/tmp/jaxicm-%s-%s.pid' "$port" "$1"; }

stop() {
  for index in "${!hosts[@]}"; do
    ssh -n -o BatchMode=yes "${hosts[index]}" "kill -TERM \$(cat $(number_of "$index")) 2>/dev/null" || true
  done
}
trap 'echo "stopping all processes" >&2; stop' INT TERM

words=$(printf ' %q' "$@" --out "$RUN" --resume --coordinator "${hosts[0]}:$port" --processes "${#hosts[@]}")
children=()
for index in "${!hosts[@]}"; do
  # No terminal: Ctrl-C here must not cut the connections before the processes have saved.
  setsid ssh -n -o BatchMode=yes -o ServerAliveInterval=30 "${hosts[index]}" \
    "cd $(printf %q "$folder") && echo \$\$ >$(number_of "$index") && exec .venv/bin/jaxicm train$words --process $index" &
  children+=($!)
done

status=0
while [ "${#children[@]}" -gt 0 ]; do
  sleep 1 &
  wait $! || true # unlike `sleep` alone, it lets a signal through at once
  running=()
  for child in "${children[@]}"; do
    code=0
    if kill -0 "$child" 2>/dev/null; then
      running+=("$child")
    else
      wait "$child" || code=$?
    fi
    if [ "$code" != 0 ] && [ "$status" = 0 ]; then
      status=$code
      echo "a process failed with exit code $code; stopping the others" >&2
      stop
    fi
  done
  children=("${running[@]}")
done
exit "$status"
