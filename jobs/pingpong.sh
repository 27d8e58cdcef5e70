#!/bin/bash
#
# pingpong - latency and bandwidth between two nodes
#
#     sbatch jobs/pingpong.sh [ARGS]
#     sbatch -N 1 --ntasks-per-node=2 jobs/pingpong.sh        within a node
#
# Under MPICH 4.0 give --bytes 8:64K: larger messages between nodes crawl there.
#
#SBATCH --job-name=pingpong
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=5
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make p2p/pingpong "$@"
