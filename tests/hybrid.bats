#!/usr/bin/env bats
# What holds between runs of the hybrid programs on different numbers of ranks and threads.

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [ -x "$LOCKSTEP_BUILD/hybrid/linear/cg" ] || skip "there is no MPI, hwloc or OpenMP here"
    command -v jq >/dev/null || skip "jq is missing"
}

@test "cg --reproducible: the same steps and the same bits on any number of ranks and threads" {
    local setting first=
    for setting in "1 1" "2 1" "1 2" "3 2" "4 1" "7 1"; do
        # shellcheck disable=SC2086  # words
        set -- $setting
        run bash -c 'jobs/launch -n "$1" -t "$2" cg --n 61 --variant all --reproducible --seconds 0.01 \
            --format json 2>/dev/null | jq -c "[.variant, .steps, .digest]"' - "$@"
        echo "$setting: $output"
        [ "$status" = 0 ]
        [ "$(wc -l <<<"$output")" = 3 ]
        [ "$output" = "${first:=$output}" ]
    done
    run bash -c 'jobs/launch -n 3 cg --n 61 --seconds 0.01 --format json 2>/dev/null |
        jq -c "[.variant, .steps, .digest]"'
    echo "not reproducible: $output"
    [ "$output" != "$(head -n 1 <<<"$first")" ] # or the digest says nothing
}
