#!/bin/bash
#
# affinity - where every rank and thread runs, whether that is good, and what cures it
#
#     sbatch jobs/affinity.sh
#     sbatch --ntasks-per-node=4 --cpus-per-task=8 jobs/affinity.sh
#
# Status 1, and the line that cures it, if the same ranks and threads could be placed better.
#
#SBATCH --job-name=affinity
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --time=5
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make pin/affinity --show "$@"
