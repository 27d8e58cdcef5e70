#!/usr/bin/env bats
# The classic mistakes of placement, by mpirun and by srun, on a node of two CPUs: each is named, with
# status 1, and the line that is printed to cure it makes the verdict good.

load session

setup_file() {
    session_start slurm --nodes 1 --topology 1x2
}

setup() {
    session_setup
    [ "$(nproc)" -ge 2 ] || skip "two CPUs are needed"
    build=${LOCKSTEP_BUILD:-build}
    affinity=$build/hybrid/pin/affinity
    need_program "$affinity"
    export SLURM_MPI_TYPE=pmix OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

teardown_file() {
    session_stop
}

# wrong SENTENCE COMMAND...: run in the session it ends with 1, and says so
wrong() {
    local sentence=$1
    shift
    run in_session "$@"
    echo "$* -> $status: $output"
    [ "$status" = 1 ]
    [[ $output == *"wrong: "*$sentence* ]]
}

# pasted WHAT [PREFIX...]: the line printed for the cure (", under Slurm"; empty: mpirun's) is run, with
# the threads' line before it if there is one, and ends with PASS
pasted() {
    local line threads
    line=$(sed -n "s/^#   cure$1: //p" <<<"$output" | head -n 1)
    threads=$(sed -n 's/^#   cure, and for its threads: //p' <<<"$output" | head -n 1)
    shift
    [ -n "$line" ]
    run in_session "$@" bash -c "${threads:+$threads; }$line"
    echo "$line -> $status: $output"
    [ "$status" = 0 ]
    [[ $'\n'$output == *$'\n'"PASS: "* ]]
}

# runs_bound NAME: a loop of that name runs in the session, bound to one CPU
runs_bound() {
    # shellcheck disable=SC2016  # expanded inside
    in_session sh -c 'for p in $(pgrep -f "$0\$"); do
            grep -q "^State:.R" "/proc/$p/status" &&
                grep -qx "Cpus_allowed_list:.[0-9]*" "/proc/$p/status" && exit
        done 2>/dev/null
        exit 1' "$1"
}

@test "mpirun: all threads of a rank on one core" {
    wrong "rank 0: 2 threads share 1 core, while 1 core of this node is idle" \
        env OMP_NUM_THREADS=2 mpirun -n 1 "$affinity"
    pasted ""
}

@test "mpirun: two ranks on one core" {
    wrong "ranks 0 and 1 share core 0, while 1 core of this node is idle" \
        taskset -c 0 mpirun -n 2 --bind-to none "$affinity"
    pasted ""
}

@test "mpirun: two jobs on the same core" {
    in_session mpirun -n 1 --bind-to core sh -c 'while :; do :; done' busy-job 3>&- &
    until_true runs_bound busy-job
    wrong "other jobs run on cores of this one: sh (process " mpirun -n 1 --bind-to core "$affinity"
    pasted ""
    in_session pkill -f busy-job
    wait
}

@test "srun: no cpus-per-task" {
    wrong "rank 0: 2 threads share 1 core, while 1 core of this node is idle" \
        env OMP_NUM_THREADS=2 salloc -Q -n 1 -c 2 srun -n 1 -c 1 --cpu-bind=cores "$affinity"
    pasted ", under Slurm" salloc -Q -n 1 -c 2
}

@test "srun: two steps on the same core" {
    # shellcheck disable=SC2016  # expanded inside
    wrong "other jobs run on cores of this one: sh (process " salloc -Q -n 2 bash -c '
        srun --exact -n 1 -c 1 --cpu-bind=cores sh -c "while :; do :; done" "busy-$$" &
        until p=$(pgrep -f "^[^ ]*sh -c while.* busy-$$\$") &&
            grep -qx "Cpus_allowed_list:.[0-9]*" "/proc/$p/status"; do sleep 0.1; done
        output=$(srun --overlap -n 1 -c 1 --cpu-bind=map_cpu:0 "$0") status=$?
        echo "$output"
        echo "--- the cure ---"
        bash -c "$(sed -n "s/^#   cure, under Slurm: //p" <<<"$output")"
        pkill -f "busy-$$"
        wait
        exit $status' "$affinity"
    [[ ${output#*--- the cure ---} == *$'\n'"PASS: "* ]]
}
