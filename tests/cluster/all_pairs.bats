#!/usr/bin/env bats
# all_pairs on four pretend hosts, of which one has a slow link.

load session

setup_file() {
    session_start hosts --hosts 4 --slots 2 --rate h3=100
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    need_program "$LOCKSTEP_BUILD/mpi/p2p/all_pairs"
}

teardown_file() {
    session_stop
}

@test "the slow host is named first, and its links" {
    run in_session jobs/launch -n 8 all_pairs
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"8 ranks on 4 nodes"* ]]
    [ "$(grep -c '^# slowest host: h3: ' <<<"$output")" = 1 ]
    [ "$(grep -c '^# slow link [123]: .*(h3)' <<<"$output")" = 3 ]
    [[ $output == *"PASS: 28 pairs of 8 ranks met once"* ]]
}

@test "the heat map has a square for each pair, with rank and host" {
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    run in_session jobs/launch -n 8 all_pairs --seconds 0.01 --plot "$BATS_TEST_TMPDIR/pairs.svg"
    echo "$output"
    [ "$status" = 0 ]
    for name in "0 h1" "4 h3" "7 h4"; do
        [ "$(grep -c ">$name<" "$BATS_TEST_TMPDIR/pairs.svg")" = 2 ]
    done
}
