#!/usr/bin/env bats
# Many more ranks than cores, and large messages: every program still ends.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [ -x "$LOCKSTEP_BUILD/mpi/p2p/hello" ] || skip "there is no MPI here"
}

has_option() { # has_option PROGRAM OPTION
    grep -q -e "^  --$2 " <<<"$("$LOCKSTEP_BUILD/$1" --help 2>&1)"
}

@test "16 ranks: every program of mpi/ ends" {
    local file program options
    for file in mpi/[!l]*/*.c; do
        program=${file%.c}
        options=()
        ! has_option "$program" seconds || options=(--seconds 0.05)
        run limited jobs/launch -n 16 "$program" "${options[@]}"
        echo "$program: status $status"
        echo "$output"
        [ "$status" = 0 ]
    done
}

@test "messages of 0, 1 and 64 MiB: every program that takes --bytes" {
    local file program bytes
    for file in mpi/p2p/*.c mpi/deadlock/*.c; do
        program=${file%.c}
        has_option "$program" bytes && [ "$program" != mpi/deadlock/eager ] || continue
        for bytes in 0 1 64M; do
            run limited jobs/launch -n 3 "$program" --seconds 0.05 --bytes "$bytes"
            echo "$program --bytes $bytes: status $status"
            echo "$output"
            [ "$status" = 0 ]
        done
    done
}
