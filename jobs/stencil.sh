#!/bin/bash
#
# stencil - a field steps through time on ranks and threads, in eight ways
#
#     sbatch jobs/stencil.sh [ARGS]
#     sbatch --cpus-per-task=16 jobs/stencil.sh --variant all --roofline
#
# See checkpoint.sh for a run that outlives its time limit.
#
#SBATCH --job-name=stencil
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=5
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make stencil/stencil "$@"
