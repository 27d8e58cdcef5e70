#!/bin/bash
#
# all_pairs - latency and bandwidth between every two ranks, and the node that is slow
#
#     sbatch jobs/all_pairs.sh [ARGS]
#     sbatch jobs/all_pairs.sh --plot pairs.svg
#
#SBATCH --job-name=all_pairs
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --time=5
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make p2p/all_pairs "$@"
