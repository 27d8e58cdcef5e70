#!/bin/bash
#
# hetero - one MPI job on unlike nodes: a master by itself, workers elsewhere
#
#     sbatch jobs/hetero.sh [ARGS]
#     salloc -N 1 -n 1 : -N 2 -n 4 jobs/hetero.sh
#
# A heterogeneous job has components, each with its own #SBATCH lines or options; all together are
# one MPI_COMM_WORLD, in their order. Here the master of a farm has a node to itself, one with much
# memory, say. Outside Slurm, and in an ordinary job, it is the farm as anywhere.
#
#SBATCH --job-name=hetero
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=5
#SBATCH --output=%x-%j.out
#SBATCH hetjob
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make p2p/farm "$@"
