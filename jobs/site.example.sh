# shellcheck shell=bash
#
# site.example.sh - what differs from one cluster to the next
#
# Copy this file to jobs/site.sh (git ignores it there), keep the lines that apply, and read it once
# in each shell from which you submit:
#
#     . jobs/site.sh
#     sbatch jobs/scatter.sh
#
# In the job jobs/launch reads it again, for the modules and the launcher. It may write to the
# terminal, and it need not ask what is set already: for the variables of MPI, OpenMP, Slurm's steps
# and lockstep, jobs/launch lets those of the caller win. An option of sbatch wins over SBATCH_*,
# and SBATCH_* over the #SBATCH lines of a script.

# 1. What sbatch and salloc ask for. All of it can also stand on their command line. The number of
#    nodes and tasks can stand only there: sbatch -N 2 --ntasks-per-node=64 jobs/scatter.sh
#
# export SBATCH_ACCOUNT=abc123           SALLOC_ACCOUNT=abc123              # sacctmgr show assoc
# export SBATCH_PARTITION=standard       SALLOC_PARTITION=standard          # sinfo
# export SBATCH_QOS=short                SALLOC_QOS=short
# export SBATCH_RESERVATION=course       SALLOC_RESERVATION=course
# export SBATCH_CONSTRAINT=cpu           SALLOC_CONSTRAINT=cpu
# export SBATCH_HINT=nomultithread       SALLOC_HINT=nomultithread          # no hyperthreads
# export SBATCH_EXCLUSIVE=exclusive      SALLOC_EXCLUSIVE=exclusive         # for timings
# export SBATCH_MEM_PER_CPU=2G           SALLOC_MEM_PER_CPU=2G              # default too small

# 2. The MPI that lockstep was built with. Compile and run with the same one.
#
# module load gcc openmpi

# 3. The launcher, where the choice of jobs/launch is not the site's (in a job
#    `jobs/launch --dry-run scatter` shows it). %n stands for the ranks, %t for threads a rank.
#
# export LOCKSTEP_LAUNCHER=mpirun                   # never srun
# export LOCKSTEP_LAUNCHER=srun:pmix                # srun --mpi=pmix; srun:pmi2, srun:cray_shasta
# export LOCKSTEP_LAUNCHER=ibrun                    # TACC: takes the number of ranks from the job
# export LOCKSTEP_LAUNCHER="flux run -n %n -c %t"   # Flux
# export LOCKSTEP_LAUNCHER="lrun -n %n"             # LSF at LLNL

# 4. Settings of the MPI that this cluster needs.
#
# export OMPI_MCA_btl_tcp_if_include=eth0           # Open MPI: the network between the nodes
# export I_MPI_PMI_LIBRARY=/usr/lib64/libpmi2.so    # Intel MPI under srun
