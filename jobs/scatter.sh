#!/bin/bash
#
# scatter - the main job: every rank gets its block of the root's array and proves that it is right
#
#     sbatch jobs/scatter.sh [ARGS]                           8 ranks on 4 nodes
#     sbatch -N 2 --ntasks-per-node=64 jobs/scatter.sh        other sizes: by these two options
#     salloc -N 2 --ntasks-per-node=4 jobs/scatter.sh         in an allocation of your own
#     jobs/scatter.sh --count 1M                              without Slurm, on this machine
#
# It names no account and no partition: see site.example.sh. The exit status is the program's.
#
#SBATCH --job-name=scatter
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --time=5
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file from its spool; only the controller knows the original. It gives
# the path and the arguments unquoted, so words are taken off the end until a file is left.
me=$0
if [ ! -e "$(dirname "$me")/launch" ] && [ -n "$SLURM_JOB_ID" ]; then
    me=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/^ *Command=//p' | head -n 1)
    while [ -n "$me" ] && [ ! -f "$me" ]; do
        case $me in *' '*) me=${me% *} ;; *) me= ;; esac
    done
fi
root=${LOCKSTEP_ROOT:-$(CDPATH='' cd "$(dirname "${me:-$SLURM_SUBMIT_DIR/jobs/x}")/.." && pwd)}

echo "# job ${SLURM_JOB_ID:-none} on ${SLURM_JOB_NODELIST:-$(uname -n)}, commit $(
    git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)" >&2
exec "$root/jobs/launch" scatter "$@"
