#!/usr/bin/env bash
# Train on GPUs of a SLURM cluster: one process a GPU, saved and queued again at the time limit or when preempted.
#
#   RUN=/shared/runs/fast sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 --time=08:00:00 \
#     scripts/train_slurm.sh configs/image_fast.py --data /shared/photos batch=256 precision=bfloat16
#
# Submit it in the checkout, whose .venv holds jaxicm and "jax[cuda12]", on a file system that all nodes share; RUN and
# the pictures lie there too. The words are those of `jaxicm train`; --distributed, --resume and --out are added. As many
# tasks as GPUs on a node: JAX gives each process of a SLURM job one device.
#SBATCH --job-name=jaxicm
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
# To this script, two minutes before the time limit. `scancel` sends no USR1, so a job that is cancelled stays away; one
# that is preempted is queued again by SLURM itself.
#SBATCH --signal=B:USR1@120
set -euo pipefail
if [ $# -lt 1 ] || [ -z "${RUN:-}" ] || [ -z "${SLURM_JOB_ID:-}" ]; then
  echo "usage: RUN=FOLDER sbatch [OPTIONS] scripts/train_slurm.sh CONFIG [WORDS OF jaxicm train]" >&2
  exit 2
fi
gpus=${SLURM_GPUS_ON_NODE:-1} tasks=${SLURM_NTASKS_PER_NODE:-1}
if [ "$gpus" != "$tasks" ]; then
  echo "found $tasks tasks for $gpus GPUs a node; submit with --ntasks-per-node=$gpus --gpus-per-node=$gpus" >&2
  exit 2
fi
cd "${SLURM_SUBMIT_DIR:-.}"
again='' signalled=''
# To the processes, which save and stop. Not through srun: it answers SIGTERM by killing them.
trap 'again=1 signalled=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  .venv/bin/jaxicm train "$@" --out "$RUN" --distributed --resume &
while :; do
  signalled='' code=0
  wait $! || code=$?
  [ -n "$signalled" ] || break # else the signal ended `wait`, and the code is not that of the step
done
status=$code

if [ "$status" != 0 ]; then
  echo "training failed with exit code $status; not queued again" >&2
  exit "$status"
fi
if [ -n "$again" ] && ! tail -n 1 "$RUN/log.jsonl" | grep -q '"event": "stop".*"reason": "done"'; then
  echo "saved at the time limit; queued again"
  scontrol requeue "$SLURM_JOB_ID"
fi
