#!/usr/bin/env bats
# Every program of mpi/p2p and mpi/deadlock across three pretend hosts, over TCP.

load session

setup_file() {
    session_start hosts --hosts 3 --slots 2
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    need_program "$LOCKSTEP_BUILD/mpi/p2p/hello"
}

teardown_file() {
    session_stop
}

# Options that keep each run short.
quick() { # quick PROGRAM
    if grep -q -e '^  --seconds ' <<<"$("$LOCKSTEP_BUILD/$1" --help 2>&1)"; then
        echo --seconds 0.01
    fi
}

@test "every program on six ranks of three hosts" {
    local file program
    for file in mpi/p2p/*.c mpi/deadlock/*.c mpi/collective/*.c; do
        program=${file%.c}
        # shellcheck disable=SC2046  # words
        run in_session jobs/launch -n 6 "$program" $(quick "$program")
        echo "$program: $output"
        [ "$status" = 0 ]
        [[ $output == *"6 ranks on 3 nodes"* ]]
        [[ $'\n'$output == *$'\n'"PASS: "* ]]
    done
}

# Beside processes that want every core: nothing here may rest on who runs when.
@test "a barrier passes, a broken one is caught, always, on hosts that share busy cores" {
    local i ranks busy=()
    for i in {1..6}; do
        timeout 300 sh -c "while :; do :; done" 3>&- &
        busy+=($!)
    done
    for i in {1..3}; do
        for ranks in 4 6; do
            run in_session jobs/launch -n "$ranks" collective/barrier --seconds 0.01
            echo "$output"
            [ "$status" = 0 ] || break 2
            run in_session jobs/launch -n "$ranks" collective/barrier --fault neighbors --show
            echo "$output"
            [ "$status" = 1 ] || break 2
            [[ $output == *"phase 1: rank 1 enters as the last of $ranks, left before: rank "* ]] ||
                break 2
        done
    done
    kill "${busy[@]}"
    [ "$i $ranks $status" = "3 6 1" ]
    run in_session jobs/launch -n 3 collective/barrier --fault neighbors --seconds 0.01
    [ "$status" = 0 ]
    [[ $output == *"NOT STRUCK: --fault neighbors: "* ]]
}
