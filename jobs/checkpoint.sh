#!/bin/bash
#
# checkpoint - a computation that outlives its time limit, and the nodes that it runs on
#
#     sbatch jobs/checkpoint.sh [ARGS]
#     sbatch --time=60 jobs/checkpoint.sh --n 20000 --steps 1000000
#
# Ten seconds or more before the time limit Slurm sends SIGUSR1 to this script, which hands it on;
# the stencil saves its field, ends with status 75, and the job goes back into the queue. When it
# runs again it goes on from there, to the same bits. When a node is lost Slurm itself puts the job
# back: then what is lost is the work since the last checkpoint (--checkpoint-every steps).
#
# All in the directory of submission: checkpoint-JOB while there is more to do, and in the end the
# field itself, field-JOB.
#
#SBATCH --job-name=checkpoint
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --time=5
#SBATCH --signal=B:USR1@10
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

file=checkpoint-${SLURM_JOB_ID:-local}
restart=()
if [ -e "$file" ]; then restart=(--restart); fi

"$jobs/launch" --make stencil/stencil --n 2000 --steps 20000 --checkpoint "$file" \
    --checkpoint-every 1000 "${restart[@]}" "$@" &
program=$!
# A signal ends `wait`, not the program: then wait again.
trap 'waited=again; kill -USR1 "$program"' USR1
trap 'waited=again; kill "$program"' TERM INT HUP
waited=again
while [ "$waited" = again ]; do
    waited=once
    wait "$program"
    status=$?
done

if [ "$status" = 75 ] && [ -n "$SLURM_JOB_ID" ]; then
    echo "# checkpoint: saved in $PWD/$file; the job goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID" && exit 0
    echo "checkpoint: this cluster does not requeue: submit the job again with" \
        "--dependency=afterany:$SLURM_JOB_ID, and rename the file to checkpoint-<its number>" >&2
fi
if [ "$status" = 0 ]; then mv "$file" "${file/checkpoint/field}"; fi
exit "$status"
