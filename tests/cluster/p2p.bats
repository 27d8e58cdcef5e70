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
