#!/bin/bash
#
# run - any program
#
#     sbatch -N 4 jobs/run.sh scatter --count 1G
#     sbatch jobs/run.sh -n 3 p2p/ring                 options of jobs/launch before the program
#     sbatch --cpus-per-task=4 jobs/run.sh --place spread /home/me/my_mpi_program
#
#SBATCH --job-name=run
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --time=10
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

exec "$jobs/launch" --make "$@"
