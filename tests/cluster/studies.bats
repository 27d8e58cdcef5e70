#!/usr/bin/env bats
# The studies of jobs/ on a private Slurm of four nodes: scaling as one job and as arrays, every
# node by itself, and a chain of jobs; what fails is shown as failed, and the rest stands.

# shellcheck disable=SC2154,SC2030,SC2031  # session.bash sets job, state, exit_code; bats: subshells

load session

setup_file() {
    session_start slurm --nodes 4
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [[ $LOCKSTEP_BUILD == /* ]] || LOCKSTEP_BUILD=$PWD/$LOCKSTEP_BUILD
    need_program "$LOCKSTEP_BUILD/hybrid/linear/cg"
    command -v jq >/dev/null || skip "jq is missing"
    jobs=$PWD/jobs
    here="$BATS_TEST_TMPDIR/a folder"
    mkdir "$here"
    cd "$here" || return
}

teardown_file() {
    session_stop
}

# The report of a folder as JSON.
report() {
    "$jobs/report" --format json "$@" 2>&1 || :
}

@test "scaling: 1, 2, 4 nodes and two thread counts from one sbatch; a row that fails" {
    {
        echo '# scaling nodes ranks/node threads arguments'
        for nodes in 1 2 4; do
            for threads in 1 2; do echo "strong $nodes 1 $threads --n 40 --seconds 0.02"; done
        done
        echo 'weak 1 1 1 --n 10x'
        echo 'weak 2 1 1 --n 20 --seconds 0.02'
    } >table
    run_job "$jobs/scaling.sh" --program linear/cg --table table --folder cg
    [ "$state $exit_code" = "FAILED 1:0" ]
    [ "$(grep -c '^# strong-.*: done' <<<"$output")" = 6 ]
    [[ $output == *"# weak-n1-r1-t1: status 2: cg: "* ]]
    [ "$(jq -s '[.[] | select(.status == 0)] | length' cg/cells.json)" = 7 ]
    # tables with the fit on stdout, plots, and a page that says what has failed
    grep -q 'Amdahl' <<<"$output"
    grep -qi 'weak-n1-r1-t1 .*failed' <<<"$output"
    local plot
    for plot in time speed-up efficiency; do
        [ -s "cg/plots/scaling-1-$plot.svg" ]
        [ -s "cg/plots/scaling-1-$plot.png" ]
    done
    grep -q 'weak-n1-r1-t1' cg/report.html
    [ "$(grep -c '<svg' cg/report.html)" -ge 3 ]
}

@test "scaling: fewer nodes leave out rows; a table that is none is refused" {
    printf '%s\n' 'strong 1 1 1 --n 20 --seconds 0.02' 'strong 4 1 1 --n 20' >table
    run_job -N 1 "$jobs/scaling.sh" --program linear/cg --table table --folder few
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [[ $output == *"# strong-n4-r4-t1: left out: there are not more nodes here than 1"* ]]
    [ "$(wc -l <few/cells.json)" = 1 ]
    echo 'strong 1 one 1' >bad
    run limited "$jobs/scaling.sh" --table bad --folder none
    [ "$status" = 2 ]
    [[ $output == "scaling: 'strong 1 one 1' is no row: "* && ! -e none ]]
}

@test "scaling --array: an array for each number of nodes, and a job that collects; the site file" {
    printf '%s\n' 'strong 1 1 1 --n 20 --seconds 0.02' 'strong 2 1 1 --n 20 --seconds 0.02' \
        'strong 1 2 1 --n 20 --seconds 0.02' >table
    # shellcheck disable=SC2016
    echo ': "${SBATCH_JOB_NAME:=study}"' >site
    LOCKSTEP_SITE=$PWD/site run in_session "$jobs/scaling.sh" --program linear/cg --table table \
        --folder arrays --array --time=2
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"array "*" on 1 nodes: rows 1,3"*"array "*" on 2 nodes: rows 2"* ]]
    until_true test -e arrays/report.html
    until_true queue_is_empty
    [ "$(jq -s 'map(.status) | add' arrays/cells.json)" = 0 ]
    grep -q Amdahl arrays/study-*.out
}

@test "scaling --array: what Slurm refuses takes back what it had accepted" {
    printf '%s\n' 'strong 1 1 1 --n 20' 'strong 99 1 1 --n 20' >table
    run in_session "$jobs/scaling.sh" --program linear/cg --table table --folder refused \
        --array --time=2 --begin=now+1hour
    echo "$output"
    [ "$status" = 2 ]
    [[ $output == *"array "*" on 1 nodes: rows 1"*"sbatch: error: "* ]]
    until_true queue_is_empty
}

queue_is_empty() {
    [ -z "$(in_session squeue -h 2>&1)" ]
}

@test "nodes: every node by itself; the one that differs is named" {
    run_job "$jobs/nodes.sh" all
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [ "$(jq -rs '[.[].host] | join(" ")' all/cells.json)" = "n1 n2 n3 n4" ]
    [[ $output == *n1*n2*n3*n4* ]]
    [ "$(cat all/n?.json | jq -s 'all(.ranks == 2 and .nodes == 1)')" = true ] # its two tasks
    # a node that is half as fast
    sed -i -E 's/_per_s":([0-9])/_per_s":0.\1/; s/"median_s":0/"median_s":1/' all/n3.json
    report all >out
    grep -q n3 out
}

@test "pipeline: check, measure, report, each after the other" {
    run_job "$jobs/pipeline.sh" chain
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [[ $output == *PASS* ]]
    until_true test -e chain/report.html
    until_true queue_is_empty
    [ "$(jq -rs 'map("\(.cell) \(.status)") | join(", ")' chain/cells.json)" = \
        "allreduce 0, alltoall 0, bcast 0" ]
    # without Slurm, one after the other
    run limited "$jobs/pipeline.sh" here
    echo "$output"
    [ "$status" = 0 ]
    [ -s here/report.html ]
}

@test "pipeline: what fails at first cancels what waits for it, and is reported" {
    # a program that says that placement is wrong
    mkdir -p build/hybrid/pin
    printf '%s\n' '#!/bin/sh' 'exit 1' >build/hybrid/pin/affinity
    chmod +x build/hybrid/pin/affinity
    LOCKSTEP_BUILD=$PWD/build run_job "$jobs/pipeline.sh" chain
    [ "$state $exit_code" = "FAILED 1:0" ]
    until_true test -e chain/report.html -o -n "$(echo chain/report-*.out)"
    until_true queue_is_empty
    [ "$(jq -s 'all(.status == null)' chain/cells.json)" = true ]
}
