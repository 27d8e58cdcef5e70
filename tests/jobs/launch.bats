#!/usr/bin/env bats
#
# jobs/launch: a table of machines and the exact line chosen there, then real runs.

bats_require_minimum_version 1.5.0
load machine
load ../wait

setup() {
    tree "$BATS_TEST_TMPDIR/tree"
    program mpi/collective/scatter mpi/collective/gather mpi/thread/barrier local/thread/barrier \
        local/thread/queue hybrid/pin/affinity mpi/lib/world tests/unit/scatter mpi/lens/tools/deep
    : >"$root/build/mpi/collective/data" # not executable
}

# Short words of the expected lines.
long() {
    local word out=()
    # shellcheck disable=SC2086
    set -f -- $1
    for word; do
        case $word in
            R[0-9]*) word=LOCKSTEP_RANKS=${word#R} ;;
            T[0-9]*) word=OMP_NUM_THREADS=${word#T} ;;
            PASSIVE) word=OMP_WAIT_POLICY=passive ;;
            YIELD) word=OMPI_MCA_mpi_yield_when_idle=1 ;;
            ROOT) word='OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1' ;;
            OVER) word='--map-by slot:OVERSUBSCRIBE' ;;
            IPV4) word=OMPI_MCA_btl_tcp_disable_family=6 ;;
            CORE) word='--bind-to core' ;;
            FREE) word='--bind-to none' ;;
            X) word='-x LOCKSTEP_RANKS -x OMP_NUM_THREADS' ;;
            XW) word='-x LOCKSTEP_RANKS -x OMP_NUM_THREADS -x OMP_WAIT_POLICY' ;;
            P) word=$root/build/mpi/collective/scatter ;;
            SECOND/*) word=$bin/second/${word#SECOND/} ;;
            B/*) word=$root/build/${word#B/} ;;
        esac
        out+=("$word")
    done
    set +f
    echo "${out[*]}"
}

# Reads rows "machine | arguments | line" or, where it must end with 2, "machine | arguments | 2 text
# of the message". Goes through all rows before it fails.
table() {
    set +T # bats would note each command, which takes longer than most of them
    local words args want status line bad=0 rows=0
    while IFS='|' read -r words args want; do
        [[ -n $args ]] || continue
        rows=$((rows + 1)) status=0
        # shellcheck disable=SC2086
        machine $words || return
        # shellcheck disable=SC2086
        line=$(on_machine "$root/jobs/launch" --dry-run $args 2>"$BATS_TEST_TMPDIR/stderr") || status=$?
        read -r want <<<"$want"
        if [[ $want == "2 "* ]]; then
            line="$status $(cat "$BATS_TEST_TMPDIR/stderr")"
            [[ $line == "2 launch: "*": "* && $line == *"${want#2 }"* && $line != *$'\n'* ]] && continue
        else
            want=$(long "$want")
            [[ $status = 0 && $line == "$want" ]] && continue
        fi
        bad=$((bad + 1))
        printf '%s\n' "machine:  $words" "launch:  $args" "expected: $want" \
            "got:      $line (status $status)" "stderr:   $(cat "$BATS_TEST_TMPDIR/stderr")" '' >&2
    done
    echo "$bad of $rows rows are wrong" >&2
    [ "$rows" -gt 0 ] && [ "$bad" = 0 ]
}

@test "Open MPI: slots, cores, threads, root" {
    table <<'END'
ompi4                                     | scatter            | R2 T1 mpirun -n 2 CORE X P
ompi4                                     | -n 4 scatter       | R4 T1 mpirun -n 4 CORE X P
ompi5                                     | -n 4 scatter       | R4 T1 mpirun -n 4 CORE X P
ompi4                                     | -n 5 scatter       | R5 T1 PASSIVE YIELD mpirun -n 5 OVER FREE XW P
ompi5                                     | -n 5 scatter       | R5 T1 PASSIVE YIELD mpirun -n 5 OVER FREE XW P
ompi4 cpus=8 cores=4                      | -n 5 scatter       | R5 T1 mpirun -n 5 OVER FREE X P
ompi4 cpus=8 cores=4                      | -n 4 scatter       | R4 T1 mpirun -n 4 CORE X P
ompi4 cpus=2 of=8                         | -n 2 scatter       | R2 T1 mpirun -n 2 OVER FREE X P
ompi4 cpus=2 of=8                         | -n 3 scatter       | R3 T1 PASSIVE YIELD mpirun -n 3 OVER FREE XW P
ompi4                                     | -n 2 -t 2 scatter  | R2 T2 mpirun -n 2 --map-by slot:PE=2 CORE X P
ompi5                                     | -n 1 -t 4 scatter  | R1 T4 mpirun -n 1 --map-by slot:PE=4 CORE X P
ompi4                                     | -n 2 -t 3 scatter  | R2 T3 PASSIVE YIELD mpirun -n 2 FREE XW P
ompi4 cpus=8 cores=4                      | -n 2 -t 3 scatter  | R2 T3 mpirun -n 2 FREE X P
ompi4 OMP_NUM_THREADS=2                   | -n 2 scatter       | R2 T2 mpirun -n 2 --map-by slot:PE=2 CORE X P
ompi4 OMP_NUM_THREADS=2,3                 | -n 1 scatter       | R1 T2\,3 mpirun -n 1 --map-by slot:PE=2 CORE X P
ompi4 OMP_NUM_THREADS=8                   | -n 1 -t 1 scatter  | R1 T1 mpirun -n 1 CORE X P
ompi4 OMP_WAIT_POLICY=active              | -n 5 scatter       | R5 T1 OMP_WAIT_POLICY=active YIELD mpirun -n 5 OVER FREE XW P
ompi4 OMPI_MCA_mpi_yield_when_idle=0      | -n 5 scatter       | R5 T1 PASSIVE OMPI_MCA_mpi_yield_when_idle=0 mpirun -n 5 OVER FREE XW P
ompi4 root                                | -n 1 scatter       | R1 T1 ROOT mpirun -n 1 CORE X P
ompi4 PBS_NODEFILE=h                      | -n 64 scatter      | R64 T1 mpirun -n 64 OVER X P
ompi4 OMPI_MCA_orte_default_hostfile=h    | -n 64 scatter      | R64 T1 mpirun -n 64 OVER X P
ompi5 PRTE_MCA_prte_default_hostfile=h    | -n 2 -t 2 scatter  | R2 T2 mpirun -n 2 OVER FREE X P
ompi5 links=ompi5                         | scatter            | R2 T1 IPV4 mpirun -n 2 CORE X P
ompi5 links=ompi5                         | -n 5 scatter       | R5 T1 PASSIVE YIELD IPV4 mpirun -n 5 OVER FREE XW P
ompi5 links=ompi5 nets=none               | scatter            | R2 T1 mpirun -n 2 CORE X P
ompi5 links=ompi5 OMPI_MCA_btl=self,sm    | scatter            | R2 T1 mpirun -n 2 CORE X P
ompi5 links=ompi5 OMPI_MCA_btl_tcp_disable_family=0 | scatter  | R2 T1 mpirun -n 2 CORE X P
ompi4                                     | -n 2 scatter a $x; | R2 T1 mpirun -n 2 CORE X P a \$x\;
ompi4                                     | scatter -n 3 --help | R2 T1 mpirun -n 2 CORE X P -n 3 --help
END
}

@test "MPICH and its relatives" {
    table <<'END'
mpich links=mpich                         | -n 3 scatter       | R3 T1 mpiexec -n 3 P
mpich links=abi                           | -n 3 scatter       | R3 T1 mpiexec -n 3 P
mpich links=cray                          | -n 3 scatter       | R3 T1 mpiexec -n 3 P
mpich links=mpich root                    | -n 5 scatter       | R5 T1 PASSIVE mpiexec -n 5 P
mpich links=mpich                         | -n 2 -t 2 scatter  | R2 T2 mpiexec -n 2 P
mpich links=mpich HYDRA_HOST_FILE=h       | -n 9 scatter       | R9 T1 mpiexec -n 9 P
intel links=abi                           | -n 2 scatter       | R2 T1 mpirun -n 2 P
END
}

@test "two MPIs, the wrong MPI, no MPI" {
    table <<'END'
debian                                    | scatter            | R2 T1 mpirun.openmpi -n 2 CORE X P
debian links=mpich                        | scatter            | R2 T1 mpiexec.mpich -n 2 P
mpich debian links=mpich                  | scatter            | R2 T1 mpiexec.mpich -n 2 P
debian mpich                              | scatter            | R2 T1 mpirun.openmpi -n 2 CORE X P
ompi4                                     | scatter            | R2 T1 mpirun -n 2 CORE X P
ompi4 links=mpich                         | scatter            | 2 linked to mpich, but mpiexec is the launcher of openmpi: put
mpich                                     | scatter            | 2 linked to openmpi, but mpirun is the launcher of mpich: put
intel links=mpich                         | scatter            | 2 linked to mpich, but mpiexec is the launcher of intel: put
mpich second:ompi4                        | scatter            | R2 T1 SECOND/mpirun -n 2 CORE X P
ompi5 second:ompi4                        | scatter            | R2 T1 mpirun -n 2 CORE X P
strange                                   | scatter            | 2 mpirun is the launcher of an MPI unknown to this script: put
links=ompi                                | scatter            | R2 T1 mpirun -n 2 CORE X P
links=mpich                               | scatter            | R2 T1 mpiexec -n 2 P
mpich links=none                          | scatter            | R2 T1 mpirun -n 2 P
ompi5 links=none                          | scatter            | R2 T1 mpirun -n 2 CORE X P
END
}

@test "Slurm: which PMI, how many ranks, CPUs and threads" {
    local job="SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_TASKS_PER_NODE=2(x4) SLURM_JOB_CPUS_PER_NODE=4(x4)"
    local het="SLURM_JOB_ID=7 SLURM_NTASKS=1 SLURM_HET_SIZE=2 SLURM_TASKS_PER_NODE_HET_GROUP_0=1
        SLURM_TASKS_PER_NODE_HET_GROUP_1=2(x2) SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0=1
        SLURM_JOB_CPUS_PER_NODE_HET_GROUP_1=6,2 SLURM_TASKS_PER_NODE=1"
    sed -E -e "s/(^| )JOB /\\1$job /" -e "s/^HET /${het//$'\n'/} /" <<'END' >"$BATS_TEST_TMPDIR/rows"
ompi4 JOB srun:pmix,pmi2                  | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores P
ompi5 JOB srun:pmix                       | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores P
ompi4 JOB srun:old:pmix_v3,pmix           | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores P
ompi4 JOB srun:pmi2,none                  | scatter            | R8 T1 mpirun -n 8 CORE X P
ompi4 JOB srun:pmix_v4                    | scatter            | R8 T1 mpirun -n 8 CORE X P
ompi4 JOB srun:dead                       | scatter            | R8 T1 mpirun -n 8 CORE X P
ompi4 JOB                                 | scatter            | R8 T1 mpirun -n 8 CORE X P
ompi4 srun:pmix                           | scatter            | R2 T1 mpirun -n 2 CORE X P
ompi4 srun:dead                           | scatter            | R2 T1 mpirun -n 2 CORE X P
mpich JOB srun:pmix,pmi2 links=mpich      | scatter            | R8 T1 srun --mpi=pmi2 -n 8 --cpu-bind=cores P
mpich JOB srun:old:pmi2 links=abi         | scatter            | R8 T1 srun --mpi=pmi2 -n 8 --cpu-bind=cores P
mpich JOB srun:pmix links=mpich           | scatter            | R8 T1 mpiexec -n 8 P
mpich JOB srun:pmix,pmi2 links=none       | scatter            | R8 T1 mpirun -n 8 P
intel JOB srun:pmix,pmi2 links=abi        | scatter            | R8 T1 mpirun -n 8 P
intel JOB srun:pmi2 links=abi I_MPI_PMI_LIBRARY=l | scatter    | R8 T1 srun --mpi=pmi2 -n 8 --cpu-bind=cores P
JOB srun:pmix                             | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores P
JOB srun:pmix root                        | -n 3 scatter       | R3 T1 srun --mpi=pmix -n 3 --cpu-bind=cores P
JOB srun:pmix                             | -t 2 scatter       | R8 T2 srun --mpi=pmix -n 8 -c 2 --cpu-bind=cores P
JOB srun:pmix SLURM_CPUS_PER_TASK=2       | scatter            | R8 T2 srun --mpi=pmix -n 8 -c 2 --cpu-bind=cores P
JOB srun:pmix SLURM_CPUS_PER_TASK=2       | -n 4 -t 4 scatter  | R4 T4 srun --mpi=pmix -n 4 -c 4 --cpu-bind=cores P
JOB srun:pmix SLURM_CPUS_PER_TASK=2       | -t 1 scatter       | R8 T1 srun --mpi=pmix -n 8 -c 1 --cpu-bind=cores P
JOB srun:pmix SLURM_CPUS_PER_TASK=1       | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores P
JOB srun:pmix SLURM_CPUS_PER_TASK=2 OMP_NUM_THREADS=1 | scatter | R8 T1 srun --mpi=pmix -n 8 -c 2 --cpu-bind=cores P
JOB srun:pmix                             | -n 17 scatter      | R17 T1 PASSIVE YIELD srun --mpi=pmix -n 17 --overcommit --cpu-bind=none P
JOB srun:pmix                             | -t 3 scatter       | R8 T3 PASSIVE YIELD srun --mpi=pmix -n 8 --overcommit --cpu-bind=none P
JOB srun:pmix links=ompi5                 | scatter            | R8 T1 IPV4 srun --mpi=pmix -n 8 --cpu-bind=cores P
JOB srun:pmix SLURM_EXPORT_ENV=NONE       | scatter            | R8 T1 srun --mpi=pmix -n 8 --cpu-bind=cores --export=ALL P
HET srun:pmix                             | scatter            | R5 T1 srun --mpi=pmix --het-group=0-1 --cpu-bind=cores P
HET srun:pmix                             | -n 3 scatter       | 2 this heterogeneous job has 5 tasks: leave out -n
ompi4 JOB                                 | -t 2 scatter       | R8 T2 mpirun -n 8 --map-by slot:PE=2 CORE X P
ompi4 JOB                                 | -t 3 scatter       | R8 T3 PASSIVE YIELD mpirun -n 8 FREE XW P
ompi4 JOB                                 | -n 9 scatter       | R9 T1 mpirun -n 9 OVER FREE X P
ompi4 JOB cpus=2 of=8                     | scatter            | R8 T1 mpirun -n 8 FREE X P
SLURM_JOB_ID=7 SLURM_JOB_CPUS_PER_NODE=8,4(x2) srun:pmix | scatter | R2 T1 srun --mpi=pmix -n 2 --cpu-bind=cores P
END
    table <"$BATS_TEST_TMPDIR/rows"
}

@test "LOCKSTEP_LAUNCHER: every form" {
    local job="SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_TASKS_PER_NODE=4 SLURM_JOB_CPUS_PER_NODE=4 srun:pmix"
    sed -E "s/(^| )JOB /\\1$job /" <<'END' >"$BATS_TEST_TMPDIR/rows"
ompi4 JOB LOCKSTEP_LAUNCHER=mpirun        | scatter            | R4 T1 mpirun -n 4 CORE X P
ompi4 JOB LOCKSTEP_LAUNCHER=mpiexec       | scatter            | R4 T1 mpiexec -n 4 CORE X P
ompi4 JOB LOCKSTEP_LAUNCHER=              | scatter            | R4 T1 srun --mpi=pmix -n 4 --cpu-bind=cores P
debian LOCKSTEP_LAUNCHER=mpiexec          | scatter            | R2 T1 mpiexec.openmpi -n 2 CORE X P
debian links=mpich LOCKSTEP_LAUNCHER=mpirun | scatter          | R2 T1 mpirun.mpich -n 2 P
mpich LOCKSTEP_LAUNCHER=mpirun            | scatter            | 2 linked to openmpi, but mpirun is the launcher of mpich: put
ompi4 srun:pmix LOCKSTEP_LAUNCHER=srun    | scatter            | R2 T1 srun --mpi=pmix -n 2 -c 1 P
ompi4 srun:pmi2 LOCKSTEP_LAUNCHER=srun    | scatter            | 2 srun --mpi=list names nothing for openmpi: set
ompi4 JOB LOCKSTEP_LAUNCHER=srun:pmi2     | scatter            | R4 T1 srun --mpi=pmi2 -n 4 --cpu-bind=cores P
LOCKSTEP_LAUNCHER=ibrun                   | -n 3 scatter       | R3 T1 ibrun P
root LOCKSTEP_LAUNCHER=mpirun_-np_%n      | -n 4 scatter       | R4 T1 ROOT mpirun -np 4 P
LOCKSTEP_LAUNCHER=flux_run_-n_4           | -n 4 scatter x     | R4 T1 flux run -n 4 P x
LOCKSTEP_LAUNCHER=flux_run_-n_%n_-c_%t    | -n 3 -t 2 scatter  | R3 T2 PASSIVE YIELD flux run -n 3 -c 2 P
LOCKSTEP_LAUNCHER=ibrun                   | queue              | B/local/thread/queue
END
    table <"$BATS_TEST_TMPDIR/rows"
}

@test "names of programs, programs without MPI, bad usage" {
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/mine"
    chmod +x "$BATS_TEST_TMPDIR/mine"
    sed "s=MINE=$BATS_TEST_TMPDIR/mine=g" <<'END' >"$BATS_TEST_TMPDIR/rows"
ompi4                  | collective/scatter     | R2 T1 mpirun -n 2 CORE X P
ompi4                  | mpi/collective/scatter | R2 T1 mpirun -n 2 CORE X P
ompi4                  | affinity               | R2 T1 mpirun -n 2 CORE X B/hybrid/pin/affinity
ompi4                  | mpi/thread/barrier     | R2 T1 mpirun -n 2 CORE X B/mpi/thread/barrier
ompi4                  | barrier                | 2 barrier is the name of 2 programs: write one of local/thread/barrier mpi/thread/barrier
ompi4                  | thread/barrier         | 2 2 programs: write one of local/thread/barrier mpi/thread/barrier
ompi4                  | scater                 | 2 no program is called scater: did you mean mpi/collective/scatter?
ompi4                  | catter                 | 2 no program is called catter: see `make list`
ompi4                  | world                  | 2 no program is called world: see
ompi4                  | unit/scatter           | 2 no program is called unit/scatter:
ompi4                  | deep                   | 2 no program is called deep:
ompi4                  | data                   | 2 no program is called data:
ompi4                  | ./nothing              | 2 no program is called ./nothing:
ompi4                  | -n 3 MINE              | R3 T1 mpirun -n 3 CORE X MINE
ompi4 links=none       | MINE a                 | MINE a
ompi4 links=none       | -n 3 MINE              | 2 mine runs without MPI: leave out -n 3
ompi4                  | queue a b              | B/local/thread/queue a b
ompi4                  | -n 1 -t 3 queue        | T3 B/local/thread/queue
ompi4                  | -n 2 queue             | 2 queue runs without MPI: leave out -n 2
LOCKSTEP_BUILD=gone    | scatter                | 2 there is no
LOCKSTEP_BUILD=build   | scatter                | R2 T1 mpirun -n 2 CORE X P
ompi4                  | -n 0 scatter           | 2 -n '0' is not a number from 1 up:
ompi4                  | -n x scatter           | 2 -n 'x' is not
ompi4                  | -n -1 scatter          | 2 -n '-1' is not
ompi4                  | -n 1.5 scatter         | 2 -n '1.5' is not
ompi4                  | -n 99999999999999999999 scatter | 2 is not a number
ompi4                  | -t 0 scatter           | 2 -t '0' is not
ompi4                  | -n                     | 2 -n '' is not
ompi4                  | -q scatter             | 2 -q is unknown before the program: see
ompi4                  | --dry-run              | 2 no program is named: write
END
    table <"$BATS_TEST_TMPDIR/rows"
}

@test "the site file gives way to the environment, and cannot write to stdout" {
    echo 'echo module loaded; export LOCKSTEP_LAUNCHER=ibrun OMP_NUM_THREADS=3' >"$root/jobs/site.sh"
    table <<'END'
ompi4                                            | scatter      | R2 T3 PASSIVE YIELD ibrun P
ompi4 LOCKSTEP_LAUNCHER=mpirun OMP_NUM_THREADS=2 | scatter      | R2 T2 mpirun -n 2 --map-by slot:PE=2 CORE X P
ompi4                                            | -t 1 scatter | R2 T1 ibrun P
END
}

@test "nodes, ranks on each of them, hosts, words of the site" {
    local job="SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_TASKS_PER_NODE=2(x4) SLURM_JOB_CPUS_PER_NODE=4(x4)"
    job+=" SLURM_JOB_NUM_NODES=4"
    printf '%s\n' '# the lab' 'a 2' 'b:3  # new' '' 'c slots=1' a >"$BATS_TEST_TMPDIR/hosts"
    echo 'a many' >"$BATS_TEST_TMPDIR/bad"
    : >"$BATS_TEST_TMPDIR/none"
    sed -E -e "s/(^| )JOB /\\1$job /" -e "s|HOSTS|$BATS_TEST_TMPDIR|" <<'END' >"$BATS_TEST_TMPDIR/rows"
ompi4 JOB srun:pmix | -N 2 scatter                      | R4 T1 srun --mpi=pmix -N 2 --ntasks-per-node=2 -n 4 --cpu-bind=cores P
ompi4 JOB srun:pmix | --ranks-per-node 1 scatter        | R4 T1 srun --mpi=pmix -N 4 --ntasks-per-node=1 -n 4 --cpu-bind=cores P
ompi4 JOB srun:pmix | --ranks-per-node=4 -N 1 -n 3 scatter | R3 T1 srun --mpi=pmix -N 1 --ntasks-per-node=4 -n 3 --cpu-bind=cores P
ompi4 JOB           | -N 2 scatter                      | R4 T1 mpirun -n 4 --map-by ppr:2:node CORE X P
ompi4 JOB           | -N 2 -t 2 scatter                 | R4 T2 mpirun -n 4 --map-by ppr:2:node:PE=2 CORE X P
ompi4 JOB           | -N 2 -n 3 scatter                 | R3 T1 mpirun -n 3 --map-by ppr:2:node CORE X P
mpich JOB links=mpich | -N 2 scatter                    | R4 T1 mpiexec -n 4 -ppn 2 P
ompi4 JOB srun:pmix | -N 5 scatter                      | 2 -N 5: this job has 4 nodes: ask
ompi4 JOB srun:pmix | -N 2 --ranks-per-node 2 -n 5 scatter | 2 -n 5: 2 nodes of 2 ranks have room for 4
ompi4               | -N 2 scatter                      | 2 -N 2: outside a Slurm job there is only this node
ompi4               | -N 1 scatter                      | R1 T1 mpirun -n 1 --map-by ppr:1:node CORE X P
ompi4               | -N 1 --ranks-per-node 3 scatter   | R3 T1 mpirun -n 3 --map-by ppr:3:node CORE X P
ompi4               | --hosts HOSTS/hosts scatter       | R7 T1 mpirun -n 7 --host a:3\,b:3\,c:1 X P
ompi4               | --hosts HOSTS/hosts -n 8 scatter  | R8 T1 mpirun -n 8 --host a:3\,b:3\,c:1 OVER X P
ompi4               | --hosts HOSTS/hosts -n 2 -t 2 scatter | R2 T2 mpirun -n 2 --host a:3\,b:3\,c:1 FREE X P
ompi4               | --hosts HOSTS/hosts -N 2 scatter  | R6 T1 mpirun -n 6 --host a:3\,b:3 --map-by ppr:3:node X P
ompi4               | --hosts HOSTS/hosts --ranks-per-node 1 scatter | R3 T1 mpirun -n 3 --host a:3\,b:3\,c:1 --map-by ppr:1:node X P
mpich links=mpich   | --hosts HOSTS/hosts -N 2 scatter  | R6 T1 mpiexec -n 6 -hosts a:3\,b:3 -ppn 3 P
ompi4 JOB srun:pmix | --hosts HOSTS/hosts -N 1 scatter  | R3 T1 srun --mpi=pmix -N 1 --ntasks-per-node=3 -w a -n 3 --cpu-bind=cores P
ompi4 JOB srun:pmix | --hosts HOSTS/hosts scatter       | R7 T1 srun --mpi=pmix -N 3 -w a\,b\,c -n 7 --cpu-bind=cores P
ompi4               | --hosts HOSTS/hosts -N 4 scatter  | 2 -N 4: --hosts HOSTS/hosts names 3
ompi4               | --hosts HOSTS/bad scatter         | 2 'many' of a is no number of slots
ompi4               | --hosts HOSTS/none scatter        | 2 names no host
ompi4               | --hosts HOSTS/nothing scatter     | 2 cannot be read
ompi4               | --hosts                           | 2 its value is missing
ompi4               | -N 1 local/thread/barrier         | 2 runs without MPI: leave out -N
ompi4               | --place best scatter              | 2 no such policy
ompi4               | --place compact scatter           | 2 there is no plan for this node
ompi4               | --simulate torus -n 8 scatter     | JOBS/simulate -p torus -n 8 scatter
ompi4               | --simulate torus -t 2 scatter     | 2 --simulate gives ranks no cores and no threads
ompi4 LOCKSTEP_LAUNCHER_ARGS=--display-map | -n 1 scatter | R1 T1 mpirun -n 1 CORE X --display-map P
ompi4 LOCKSTEP_LAUNCHER=run_-N_%N_-r_%r_-n_%n JOB | -N 2 scatter | R4 T1 run -N 2 -r 2 -n 4 P
END
    sed -i "s|HOSTS|$BATS_TEST_TMPDIR|" "$BATS_TEST_TMPDIR/rows"
    sed -i "s|JOBS|$root/jobs|" "$BATS_TEST_TMPDIR/rows"
    table <"$BATS_TEST_TMPDIR/rows"
}

@test "--dry-run tells where each setting is from" {
    echo 'export LOCKSTEP_LAUNCHER=ibrun OMP_NUM_THREADS=3 UCX_TLS=all' >"$root/jobs/site.sh"
    machine ompi4 OMP_NUM_THREADS=2 SLURM_JOB_ID=7 SLURM_NTASKS=8
    run --separate-stderr on_machine "$root/jobs/launch" --dry-run scatter
    [ "$status" = 0 ]
    # shellcheck disable=SC2154
    echo "$stderr"
    [[ $stderr == *"ranks     8 (the tasks of job 7)"* ]]
    [[ $stderr == *"threads   2 (OMP_NUM_THREADS, environment)"* ]]
    [[ $stderr == *"launcher  ibrun (site file $root/jobs/site.sh)"* ]]
    [[ $stderr == *"UCX_TLS=all (site file "* ]]
}

@test "--place: the ranks run where the plan for this node has them" {
    local launch=$BATS_TEST_DIRNAME/../../jobs/launch affinity
    affinity=${LOCKSTEP_BUILD:-build}/hybrid/pin/affinity
    cd "$BATS_TEST_DIRNAME/../.."
    [ -x "$affinity" ] || skip "affinity is not built"
    [ "$(nproc)" -gt 1 ] || skip "one CPU"
    local policy ranks
    for policy in compact spread; do
        run --separate-stderr limited "$launch" -n 2 -t 1 --place "$policy" pin/affinity \
            --allow-others --format csv
        echo "$output $stderr"
        [ "$status" = 0 ]
        # each has one CPU, not that of the other
        ranks=$("$affinity" --plan --ranks 2 --threads 1 --place "$policy" --format csv 2>/dev/null |
            awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "bound_os") c = i; next } { print $c }')
        [ "$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "bound_os") c = i; next }
            { print $c }' <<<"$output")" = "$ranks" ]
        [ "$(sort -u <<<"$ranks" | wc -l)" = 2 ]
    done
    # a launcher that puts more ranks on the node than were planned
    run env OMPI_COMM_WORLD_LOCAL_RANK=2 "${launch%/*}/bind" '{0};{1}' true
    [ "$status" = 2 ]
    [[ $output == "bind: rank 2 of this node has no place"* ]]
}

@test "--make: builds what is missing or old, and is never silently old" {
    local tree=$BATS_TEST_TMPDIR/src
    mkdir -p "$tree"/{local/lib,local/thread}
    cp -r "$root/jobs" "$tree/jobs"
    printf '%s\n' '#!/bin/sh' 'echo new' >"$tree/local/thread/first.c"
    # shellcheck disable=SC2016
    printf '%s\n\t%s\n\t%s\n' 'build/local/thread/first: local/thread/first.c' \
        '@mkdir -p $(@D) && ! grep -q broken $<' '@cp $< $@ && chmod +x $@' >"$tree/Makefile"
    run limited "$tree/jobs/launch" --make first
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *new* && $output == *"# job none on "*", commit "* ]]
    # older than its source, which cannot be built
    echo broken >"$tree/local/thread/first.c"
    touch -d '1 hour ago' "$tree/build/local/thread/first"
    run limited "$tree/jobs/launch" --make first
    echo "$output"
    [ "$status" = 2 ]
    [[ $output == *"first is older than its source, and cannot be built here"* ]]
    # no make at all, and the program is newer than every source
    touch "$tree/build/local/thread/first"
    touch -d '2 hours ago' "$tree/local/thread/first.c" "$tree/Makefile"
    mkdir "$tree/bin"
    printf '%s\n' '#!/bin/sh' 'exit 127' >"$tree/bin/make"
    chmod +x "$tree/bin/make"
    PATH=$tree/bin:$PATH run limited "$tree/jobs/launch" --make first
    [ "$status" = 0 ]
    [[ $output == *"make failed here"*new* ]]
    rm -r "$tree/build"
    PATH=$tree/bin:$PATH run limited "$tree/jobs/launch" --make first
    [ "$status" = 2 ]
    [[ $output == *"first cannot be built here"* ]]
}

@test "installed: programs in libexec, jobs in share" {
    local prefix=$BATS_TEST_TMPDIR/usr
    mkdir -p "$prefix/share" "$prefix/libexec"
    mv "$root/build" "$prefix/libexec/lockstep"
    mv "$root" "$prefix/share/lockstep"
    machine ompi4
    run --separate-stderr on_machine "$prefix/share/lockstep/jobs/launch" --dry-run scatter
    [ "$status" = 0 ]
    [[ $output == *" $prefix/libexec/lockstep/mpi/collective/scatter" ]]
}

@test "--help says everything and needs nothing" {
    machine
    run --separate-stderr on_machine "$root/jobs/launch" --help
    [ "$status" = 0 ]
    [[ $output == *-n*-t*--dry-run*LOCKSTEP_BUILD*LOCKSTEP_LAUNCHER* ]]
    # shellcheck disable=SC2154
    [ -z "$stderr" ]
}

# ---- real runs

compile() { # FAMILY: a program that says its rank, then sleeps, fails, or ends
    command -v "mpicc.$1" >/dev/null || skip "there is no mpicc.$1"
    program "mpi/real/ranks-$1"
    ranks=$root/build/mpi/real/ranks-$1
    "mpicc.$1" -o "$ranks" "$BATS_TEST_DIRNAME/ranks.c"
}

launch() { limited "$root/jobs/launch" "$@"; }

# A line once shown can be pasted: it is run by the shell, and gives the same.
runs() { # FAMILY
    local n i
    compile "$1"
    for n in 1 2 5; do
        run --separate-stderr launch -n "$n" "ranks-$1"
        [ "$status" = 0 ]
        [ "$(wc -l <<<"$output")" = "$n" ]
        for ((i = 0; i < n; i++)); do
            [[ $output == *"rank $i of $n, LOCKSTEP_RANKS=$n, OMP_NUM_THREADS=1"* ]]
        done
        [[ $stderr == "# launch: LOCKSTEP_RANKS=$n "* ]]
    done
    run launch -n 2 "ranks-$1" fail
    [ "$status" = 3 ]
    run --separate-stderr limited bash -c "$(launch --dry-run -n 2 -t 2 "ranks-$1")"
    [[ $status = 0 && $output == *"rank 1 of 2, LOCKSTEP_RANKS=2, OMP_NUM_THREADS=2"* ]]
}

# Ranks hold on until killed; the name of the program is this test's alone.
ends_on() { # FAMILY SIGNAL
    local pid status=0
    compile "$1"
    "$root/jobs/launch" -n 3 "ranks-$1" sleep >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    pid=$!
    until_true all_speak
    kill -s "$2" "$pid"
    wait "$pid" || status=$?
    # Hydra's own status after a signal differs from run to run, and may be 0.
    [ "$status" != 0 ] || [ "$1 $2" != "openmpi TERM" ]
    until_true none_left
}
all_speak() { [ "$(grep -c '^rank' "$BATS_TEST_TMPDIR/out")" = 3 ]; }
none_left() { ! pgrep -af "^$ranks "; }

@test "Open MPI: 1, 2 and 5 ranks, status 3, the line pasted" { runs openmpi; }
@test "MPICH: 1, 2 and 5 ranks, status 3, the line pasted" { runs mpich; }
@test "Open MPI: TERM leaves nothing behind" { ends_on openmpi TERM; }
@test "Open MPI: HUP leaves nothing behind" { ends_on openmpi HUP; }
@test "MPICH: TERM leaves nothing behind" { ends_on mpich TERM; }
@test "MPICH: HUP leaves nothing behind" { ends_on mpich HUP; }

@test "the other MPI's launcher is refused, not run as N jobs of one rank" {
    compile mpich
    command -v mpirun.openmpi >/dev/null || skip "there is no mpirun.openmpi"
    machine
    ln -sf "$(command -v readelf)" "$bin/readelf"
    ln -s "$(command -v mpirun.openmpi)" "$bin/mpirun"
    run on_machine "$root/jobs/launch" -n 2 "$ranks"
    [ "$status" = 2 ]
    [[ $output == "launch: $ranks is linked to mpich, but mpirun is the launcher of openmpi: "* ]]
}

@test "a local program gets stdin, its status and its signals" {
    machine
    printf '#!/bin/sh\ncat; exit 5\n' >"$root/build/local/thread/queue"
    run --separate-stderr launch queue <<<"from stdin"
    [ "$status" = 5 ]
    [ "$output" = "from stdin" ]
    printf '#!/bin/sh\nkill -s USR1 $$\n' >"$root/build/local/thread/queue"
    run bash -c "'$root/jobs/launch' queue; exit \$?"
    [ "$status" = 138 ]
    # shellcheck disable=SC2016  # expanded in the program
    printf '#!/bin/sh\ntrap "exit 9" USR2\n: >"$1"\nwhile :; do sleep 0.1; done\n' \
        >"$root/build/local/thread/queue"
    "$root/jobs/launch" queue "$BATS_TEST_TMPDIR/trapped" 3>&- &
    until_true test -e "$BATS_TEST_TMPDIR/trapped"
    kill -s USR2 $!
    status=0
    wait $! || status=$?
    [ "$status" = 9 ]
}
