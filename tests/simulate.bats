#!/usr/bin/env bats
# bats 1.5 or newer: run -STATUS
bats_require_minimum_version 1.5.0
# Clusters that are not there: jobs/simulate, its platforms, and the algorithms at many ranks.

load wait

setup() {
    cd "$BATS_TEST_DIRNAME/.." || return
    command -v smpicc >/dev/null || skip "smpicc is missing: make deps simulate"
}

simulate() {
    limited jobs/simulate "$@"
}

@test "programs are right on every platform, at any number of ranks" {
    for platform in fat-tree torus ethernet; do
        for ranks in 1 7 64; do
            simulate -p "$platform" -n "$ranks" scatter --count 1000 --algorithm all
            simulate -p "$platform" -n "$ranks" allreduce --algorithm all
        done
    done
    simulate -n 8 -r 4 ring
    simulate -n 6 -r 4 hello | grep ', 6 ranks on 2 nodes,'
}

@test "no platform has a cluster as its root, of which SimGrid 4.0 dies" {
    local file
    for file in jobs/platforms/*.xml; do
        awk '/<zone / { inside = 1 } /<cluster / && !inside { exit 1 }' "$file"
    done
}

@test "jobs/launch --simulate hands on what it can" {
    run limited jobs/launch --simulate torus -n 4 --ranks-per-node 2 bcast --bytes 1K
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"SimGrid"*"4 ranks on 2 nodes"*PASS* ]]
}

@test "times are virtual: the same at every run, and those of the platform" {
    times() {
        simulate -p "$1" -n 33 bcast --bytes 1:64K --algorithm all --format json 2>/dev/null |
            jq -c '[.algorithm, .bytes, .median_s, .alpha_s, .beta_s]'
    }
    first=$(times fat-tree)
    [ "$first" = "$(times fat-tree)" ]
    [ "$first" != "$(times ethernet)" ]
}

@test "every algorithm is right at 40 ranks, and some at 1000" { # more: tests/stress/simulated.bats
    simulate -n 40 build-sim/tests/unit/mpi/coll --most 1K
    simulate -n 1000 bcast --algorithm knomial,scatter_doubling --bytes 64K --root 500
}

@test "FROM:TO gives one table, and a plot" {
    run simulate -n 2:9 --plot "$BATS_TEST_TMPDIR/plot.png" bcast --bytes 4K --algorithm mpi,binomial,chain
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^ *4096 ' <<<"$output")" = 12 ]
    [ "$(grep -c '\*$' <<<"$output")" -ge 4 ]
    [ "$(head -c 4 "$BATS_TEST_TMPDIR/plot.png")" = $'\x89PNG' ]
}

@test "statuses pass through" {
    run -1 simulate -n 3 scatter --count 8 --fault drop
    run -2 simulate -n 3 bcast --root 3
    [[ $output = *"--root 3: ranks are 0 to 2"* ]]
}

@test "what SimGrid lacks ends with 77 and a sentence" {
    run -77 simulate probe
    [[ $output = *"cannot be simulated by SimGrid: it has no MPI_Mprobe"* ]]
    run -77 simulate neighbor
    run -77 simulate -n 2 bcast --algorithm shared
    [[ $output = *"spin for ever"* ]]
    run -77 simulate -n 2 bcast --fault if_root
    run -77 env PATH=/usr/bin:/bin LOCKSTEP_SIMULATED=/nonexistent jobs/simulate bcast
    [[ $output = *"make MPI=sim"* ]]
}

@test "bad usage ends with 2 and a sentence" {
    run -2 simulate -p hypercube bcast
    [[ $output = *"choose one of ethernet fat-tree torus"* ]]
    for bad in "-n 0 bcast" "-n 9:3 bcast" "-n x bcast" "nosuch" "-n 5000 bcast" "--plot x.png bcast" "-r 0 bcast" "-n"; do
        # shellcheck disable=SC2086 # words
        run -2 simulate $bad
        [[ $output = simulate:* ]]
    done
}
