#!/bin/bash
#
# scatter - the main job: every rank gets its block of the root's array, and proves it
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

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make scatter "$@"
