#!/usr/bin/env bats
# What happens once in many runs, or on a machine that is busy with something else.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    [ -x "$build/mpi/collective/scatter" ] || skip "there is no MPI here"
    scatter=$BATS_TEST_TMPDIR/scatter # a name by which what is left of it is found
    cp "$build/mpi/collective/scatter" "$scatter"
}

teardown() {
    [ -z "${busy:-}" ] || kill "${busy[@]}"
}

@test "a rank killed at any moment, also in MPI_Init and MPI_Finalize: status not 0, nobody left" {
    for tenths in 0 1 2 3 4 5 6 7 8 9 10 12 15; do
        limited jobs/launch -n 4 "$scatter" --count 1M --seconds 86400 --iterations 100M >/dev/null 2>&1 &
        sleep "$(printf '%d.%d' $((tenths / 10)) $((tenths % 10)))"
        victim=
        until_true has_started
        kill -KILL "$victim"
        status=0
        wait $! || status=$?
        echo "killed after 0.1 x $tenths s: status $status"
        [ "$status" != 0 ]
        [ "$status" != 124 ]
        until_true none_left
    done
}

has_started() { victim=$(pgrep -f "^$scatter --count" | tail -n 1) && [ -n "$victim" ]; }
none_left() { ! pgrep -fa "^$scatter"; }

@test "the same result on a busy machine, at many rank counts" {
    busy=()
    for _ in $(seq "$(nproc)"); do
        sh -c 'while :; do :; done' &
        busy+=($!)
    done
    for ranks in 1 2 3 4 6 9 12 16; do
        limited jobs/launch -n "$ranks" "$scatter" --count 0:1M --seconds 0.05 |
            grep "^PASS: 0 to 1048576 elements, each in its place on $ranks rank"
    done
}

@test "a barrier that is waited at a million times by more threads than cores" {
    limited "$build/local/thread/barrier" --workers 9 --phases 100000 --variant all
}
