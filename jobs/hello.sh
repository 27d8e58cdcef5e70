#!/bin/bash
#
# hello - which ranks are where: the first job on a new cluster
#
#     sbatch jobs/hello.sh
#     sbatch -N 2 --ntasks-per-node=64 jobs/hello.sh
#     jobs/hello.sh                     without Slurm, on this machine
#
#SBATCH --job-name=hello
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --time=2
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make p2p/hello "$@"
