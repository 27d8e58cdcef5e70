#!/usr/bin/env bats
# Every job script on a private Slurm cluster of four nodes: by sbatch, in salloc, and by bash
# without Slurm; sizes and arguments from the command line; what cannot run says so.

# shellcheck disable=SC2154,SC2030,SC2031  # session.bash sets job, state, exit_code; bats: subshells

load session

setup_file() {
    session_start slurm --nodes 4
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    need_program "$LOCKSTEP_BUILD/mpi/collective/scatter"
    here="$BATS_TEST_TMPDIR/a folder" # results go to where the job is submitted
    mkdir "$here"
    jobs=$PWD/jobs
    [[ $LOCKSTEP_BUILD == /* ]] || LOCKSTEP_BUILD=$PWD/$LOCKSTEP_BUILD
    cd "$here"
}

teardown_file() {
    session_stop
}

# Every script and arguments that keep it short.
scripts() {
    cat <<'END'
hello
scatter     --seconds 0.05
bcast       --seconds 0.05 --bytes 8:1K
gather      --seconds 0.05
allreduce   --seconds 0.05 --algorithm all
alltoall    --seconds 0.05
pingpong    --seconds 0.01 --bytes 8:64K
all_pairs   --seconds 0.02
deadlock    --seconds 0.02 --bytes 1K
farm        --tasks 40
affinity    --allow-others
stencil     --seconds 0.02 --n 100
cg          --seconds 0.02 --n 20
threads     thread/create --workers 2
run         -n 2 p2p/ring --seconds 0.02
hetero      --tasks 40
checkpoint  --n 100 --steps 50
END
}

@test "the list of this test is that of the scripts" {
    local known
    known=$(scripts | awk '{ print $1 }'; printf '%s\n' nodes scaling pipeline)
    [ "$(sort <<<"$known")" = "$(grep -l '^#SBATCH' "$jobs"/*.sh | xargs -n1 basename -s .sh | sort)" ]
}

@test "sbatch: every script, to a verified result" {
    local name args
    while read -r name args; do
        # shellcheck disable=SC2086  # words
        run_job "$jobs/$name.sh" $args
        [ "$state $exit_code" = "COMPLETED 0:0" ]
        is_verified
        [[ $output == *"# job $job on n"*", commit "* ]]
    done < <(scripts)
    [ "$(echo checkpoint-* field-*)" = "checkpoint-* field-$job" ] # the last job is checkpoint.sh
}

# $output has a launch line, and a verdict at the end.
is_verified() {
    [[ $output == *"# launch: "* ]]
    grep -q '^PASS' <<<"$(tail -n 1 <<<"$output")"
}

@test "salloc: every script in one allocation" {
    scripts >list
    # shellcheck disable=SC2016  # expanded inside
    run in_session salloc --quiet -N 4 --ntasks-per-node=2 -c 2 bash -c '
        while read -r name args; do
            echo "== $name"
            "$0/$name.sh" $args </dev/null 2>&1 || exit
        done <list' "$jobs"
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^PASS' <<<"$output")" = "$(wc -l <list)" ]
    [ "$(grep -c '^# launch: .* srun ' <<<"$output")" -ge 15 ]
}

@test "bash: every script without Slurm" {
    local name args
    while read -r name args; do
        # shellcheck disable=SC2086  # words
        run limited "$jobs/$name.sh" $args
        echo "$name: $output"
        [ "$status" = 0 ]
        is_verified
    done < <(scripts)
}

@test "MPICH: hello, scatter, bcast" {
    LOCKSTEP_BUILD=${LOCKSTEP_BUILD%/*}/build-mpich
    [ -x "$LOCKSTEP_BUILD/mpi/p2p/hello" ] || return 0 # only beside Open MPI's build
    local name
    for name in hello scatter bcast; do
        run_mpich_job -N 2 "$jobs/$name.sh"
        [ "$state $exit_code" = "COMPLETED 0:0" ]
        is_verified
        [[ $output == *"srun --mpi=pmi2 "* ]]
    done
}

@test "nodes, tasks and arguments from the command line" {
    run_job --nodes=3 --ntasks-per-node=1 "$jobs/allreduce.sh" --seconds 0.02 --bytes 1000
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [[ $output == *" 3 ranks on 3 nodes"* ]]
    run_job -N 1 --ntasks-per-node=5 "$jobs/run.sh" collective/gather --bytes 100 --seconds 0.02
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [[ $output == *" 5 ranks on 1 node"* ]]
    run_job "$jobs/deadlock.sh" --fault recv_first --limit 1s
    [ "$state $exit_code" = "FAILED 3:0" ]
    [[ $output == *"rank 0 waits"*"rank 1"* || $output == *cycle* ]]
}

@test "what cannot run says so in one sentence" {
    local case want
    while IFS='|' read -r case want; do
        # shellcheck disable=SC2086  # words
        run in_session "$jobs/submit" $case
        echo "$case: $output"
        [ "$status" = 2 ]
        # shellcheck disable=SC2053  # a pattern
        [[ ${#lines[@]} = 1 && $output == $want ]]
    done <<'END'
--partition=gpu scatter|submit: Slurm refuses this job: *partition*: gpu: partitions here: debug short
--nodes=99 scatter|submit: Slurm refuses this job: *: the largest here: *debug* 4 nodes of 8 CPUs*
--ntasks-per-node=99 scatter|submit: Slurm refuses this job: *: the largest here: *
--time=99:00:00 scatter|submit: Slurm refuses this job: *time limit*: give less*
END
    # accepted, and then there is no such program
    run in_session "$jobs/submit" --output="$here/out" -N 1 run no_such_program
    echo "$output"
    [ "$status" = 0 ]
    job=$(grep -oE '^job [0-9]+' <<<"$output" | cut -c5-)
    job_ends
    [ "$(cat "$here/out")" = "launch: no program is called no_such_program: see \`make list\`, and run make if it is new" ]
    # with --wait, which takes no value, the job's status is told; other options take one
    run in_session "$jobs/submit" --wait --nodes 1 -n 1 --output /dev/null run no_such_program
    echo "$output"
    [[ $status = 2 && $output == *"job "*" is submitted"* && $output != *refuses* ]]
}
