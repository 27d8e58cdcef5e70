#!/usr/bin/env bats
# mpi/deadlock on one node: the limit that eager finds is the one at which cycle deadlocks, and a
# deadlock leaves nothing behind. tests/cluster/deadlock.bats has the same across nodes.

load wait

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [ -x "$LOCKSTEP_BUILD/mpi/deadlock/cycle" ] || skip "there is no MPI here"
}

# the largest size that a standard send to rank 1 passes without a receive
limit_of() { # limit_of BUILD
    LOCKSTEP_BUILD=$1 limited jobs/launch -n 2 eager --partner 1 --format json 2>/dev/null |
        jq .passes_up_to_bytes
}

# What passes has no short limit: a busy machine may take its time.
send_first() { # send_first BUILD BYTES [OPTION]...
    LOCKSTEP_BUILD=$1 limited jobs/launch -n 2 cycle --fault send_first --bytes "${@:2}"
}

@test "send_first passes up to eager's limit, and stalls from one byte more on" {
    limit=$(limit_of "$LOCKSTEP_BUILD")
    echo "limit: $limit"
    [ "$limit" -gt 0 ]
    run send_first "$LOCKSTEP_BUILD" "$limit"
    [ "$status" = 0 ]
    [[ $output == *"safe here only thanks to buffering"* ]]
    run send_first "$LOCKSTEP_BUILD" $((limit + 1)) --limit 0.5
    echo "$output"
    [ "$status" = 3 ]
    [[ $output == *"stalled: no rank can go on"* ]]
    [[ $output == *"cycle: rank 0 waits for rank 1 waits for rank 0"* ]]
}

@test "the same with the second MPI" {
    [ -n "${LOCKSTEP_SECOND:-}" ] || return 0
    limit=$(limit_of "$LOCKSTEP_SECOND")
    run send_first "$LOCKSTEP_SECOND" "$limit"
    [ "$status" = 0 ]
    run send_first "$LOCKSTEP_SECOND" $((limit + 1)) --limit 0.5
    [ "$status" = 3 ]
}

@test "every fault of a deadlock leaves no process" {
    local case
    for case in "cycle --fault recv_first" "cycle --fault send_first --send synchronous" \
        "collective_order --fault skip" "collective_order --fault comms" \
        "philosophers --fault symmetric"; do
        # shellcheck disable=SC2086  # the words of the case
        run limited jobs/launch -n 4 deadlock/$case --limit 0.5
        echo "$case: $output"
        [ "$status" = 3 ]
        [[ $output == *"stalled: "*"rank 3 ("* ]]
        # the whole path: the programs of another checkout are not ours
        ! pgrep -f "^$PWD/$LOCKSTEP_BUILD/mpi/deadlock/${case%% *}( |$)"
    done
}
