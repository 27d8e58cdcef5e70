#!/usr/bin/env bats
# all_pairs on four pretend hosts, of which one has a slow link.

load session

# So slow that a full machine, on which other links wait for their ranks, is far quicker.
setup_file() {
    session_start hosts --hosts 4 --slots 2 --rate h3=25
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    need_program "$LOCKSTEP_BUILD/mpi/p2p/all_pairs"
}

teardown_file() {
    session_stop
}

@test "the slow host is named first, then its links" {
    run in_session jobs/launch -n 8 all_pairs --seconds 0.05 --large-bytes 256K
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"8 ranks on 4 nodes"* ]]
    # before all that is said of links
    [[ $(grep -m 1 '^# [a-z ]*host' <<<"$output") \
        == "# slowest host: h3: its links to others have "*" MB/s, links between the others "* ]]
    grep -q '^# links between hosts, MB/s: median .*, slowest [0-9.]* ([^)]* on h3[,)]' <<<"$output"
    [[ $output == *"PASS: 28 pairs of 8 ranks met once"* ]]
}

@test "also where one pair plays at a time, and in the records" {
    run in_session jobs/launch -n 8 all_pairs --seconds 0.02 --large-bytes 256K --variant alone \
        --format json
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c '"slowest_host": *"h3"' <<<"$output")" = 28 ]
}

@test "two hosts have one kind of link: none is called slow" {
    run in_session jobs/launch -n 4 all_pairs --seconds 0.02
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"4 ranks on 2 nodes"* ]]
    [[ $output == *"# two hosts share their links: neither is the slow one"* ]]
    [[ $output != *"slowest host"* ]]
}

@test "the heat map has a square for each pair, with rank and host" {
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    run in_session jobs/launch -n 8 all_pairs --seconds 0.02 --large-bytes 256K \
        --plot "$BATS_TEST_TMPDIR/pairs.svg"
    echo "$output"
    [ "$status" = 0 ]
    local name
    for name in "0 h1" "4 h3" "7 h4"; do
        [ "$(grep -c ">$name<" "$BATS_TEST_TMPDIR/pairs.svg")" = 2 ]
    done
    grep -q '>bandwidth (MB/s)<' "$BATS_TEST_TMPDIR/pairs.svg"
}
