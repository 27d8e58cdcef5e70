# shellcheck shell=bash
#
# site.example.sh - what differs from one cluster to the next
#
# Copy this file to jobs/site.sh (git ignores it there) and take the # from the lines that apply.
# For a tree that you may not write to, put it elsewhere and name it in LOCKSTEP_SITE.
#
#     jobs/submit scatter             applies it, and calls sbatch
#     jobs/launch --dry-run scatter   shows what it decides, and where each setting is from
#     jobs/doctor                     shows that too, and what is wrong
#
# An option on the command line wins over the environment, that over this file, and this file over
# the #SBATCH lines of a script: a line here sets a default. Plain sbatch does not read it, so read
# it yourself first, if you want to do without jobs/submit: set -a; . jobs/site.sh
#
# In the job jobs/launch reads it again, for the modules and the launcher. All that is set here is
# exported. It may write to the terminal.

# 1. What sbatch asks for (salloc: the same names with SALLOC_). All of it can also stand on its
#    command line; the number of nodes and tasks can stand only there: jobs/submit -N 2 scatter
#
# : "${SBATCH_ACCOUNT:=abc123}"             # yours: sacctmgr show assoc user=$USER
# : "${SBATCH_PARTITION:=standard}"         # sinfo
# : "${SBATCH_QOS:=short}"
# : "${SBATCH_CONSTRAINT:=cpu}"
# : "${SBATCH_RESERVATION:=course}"
# : "${SBATCH_HINT:=nomultithread}"         # one task for each core, no hyperthreads
# : "${SBATCH_EXCLUSIVE:=exclusive}"        # nobody else on the nodes: for timings
# : "${SBATCH_MEM_PER_CPU:=2G}"             # where the default is too small

# 2. The MPI that lockstep was built with. Compile and run with the same one.
#
# module load gcc openmpi

# 3. The launcher, where the choice of jobs/launch is not the site's. %n stands for the ranks, %N
#    for the nodes, %r for the ranks of a node, %t for the threads of a rank.
#
# : "${LOCKSTEP_LAUNCHER:=mpirun}"                          # never srun
# : "${LOCKSTEP_LAUNCHER:=srun:pmix}"                       # srun --mpi=pmix; or srun:cray_shasta
# : "${LOCKSTEP_LAUNCHER:=ibrun}"                           # TACC: the ranks are those of the job
# : "${LOCKSTEP_LAUNCHER:=flux run -N %N -n %n -c %t}"      # Flux
# : "${LOCKSTEP_LAUNCHER:=lrun -n %n}"                      # LSF at LLNL

# 4. Extra arguments and settings that this cluster needs.
#
# : "${LOCKSTEP_LAUNCHER_ARGS:=--exclusive}"  # after the launcher's own words
# : "${LOCKSTEP_BUILD:=build-mpich}"                        # which of several builds
# : "${OMPI_MCA_btl_tcp_if_include:=eth0}"                  # Open MPI: the nodes' network
# : "${I_MPI_PMI_LIBRARY:=/usr/lib64/libpmi2.so}"           # Intel MPI under srun
