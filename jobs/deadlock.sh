#!/bin/bash
#
# deadlock - everybody sends to a neighbour: ways out, and what a deadlock says
#
#     sbatch jobs/deadlock.sh                          each way out, verified
#     sbatch jobs/deadlock.sh --fault recv_first       hangs: status 3, and who waits for whom
#
#SBATCH --job-name=deadlock
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

exec "$jobs/launch" --make deadlock/cycle "$@"
