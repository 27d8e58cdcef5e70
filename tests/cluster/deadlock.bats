#!/usr/bin/env bats
# mpi/deadlock between nodes: over TCP a deadlock hides up to another size, and ends everywhere.

load session

setup_file() {
    session_start hosts --hosts 3 --slots 2
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    need_program "$LOCKSTEP_BUILD/mpi/deadlock/cycle"
}

teardown_file() {
    session_stop
}

one_a_host() {
    LOCKSTEP_LAUNCHER="mpirun --map-by node -n %n" run in_session jobs/launch "$@"
    echo "$output"
}

@test "send_first over TCP passes up to eager's limit, and stalls from one byte more on" {
    one_a_host -n 3 eager --format json
    limit=$(sed -n 's/.*"where":"other node","passes_up_to_bytes":\([0-9]*\).*/\1/p' <<<"$output")
    [ "$limit" -gt 10000 ] # shared memory's is less
    one_a_host -n 3 cycle --fault send_first --bytes "$limit" # nothing stalls: no short limit
    [ "$status" = 0 ]
    [[ $output == *"3 ranks on 3 nodes"*"NOT STRUCK: "*"safe here only thanks to buffering"* ]]
    one_a_host -n 3 cycle --fault send_first --limit 0.5 --bytes $((limit + 1))
    [ "$status" = 3 ]
    [[ $output == *"rank 1 (h2): in MPI_Send to rank 2"*"cycle: rank 0 waits for rank 1"* ]]
}

@test "a deadlock on three hosts leaves no process" {
    local case
    for case in "cycle --fault recv_first" "philosophers --fault symmetric"; do
        # shellcheck disable=SC2086  # the words of the case
        run in_session jobs/launch -n 6 deadlock/$case --limit 0.5
        echo "$case: $output"
        [ "$status" = 3 ]
        [[ $output == *"rank 5 (h3): "* ]]
        ! in_session pgrep -f "/mpi/deadlock/${case%% *}( |$)"
    done
}

@test "every way out of the cycle across three hosts" {
    run in_session jobs/launch -n 5 cycle --pattern grid --bytes 100K --seconds 0.05
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"PASS: 102400 bytes passed on by 5 ranks in 7 ways"* ]]
}
