#!/usr/bin/env bats
# The farm's picture, and what becomes of it when a worker dies.

load wait

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [ -x "$LOCKSTEP_BUILD/mpi/p2p/farm" ] || skip "there is no MPI here"
}

@test "the picture is the same on 1 to 8 ranks, in every way, also with a slow worker" {
    local first=$BATS_TEST_TMPDIR/1.png file=$BATS_TEST_TMPDIR/other.png case ranks options
    run jobs/launch -n 1 farm --width 90 --height 61 --tasks 20 --image "$first"
    [ "$status" != 77 ] || skip "this build has no libpng"
    [ "$status" = 0 ]
    for case in "2" "3 --variant chunk" "4 --variant static" "5 --slow 2:3" "6" "7" "8"; do
        read -r ranks options <<<"$case"
        # shellcheck disable=SC2086  # the words of the case
        jobs/launch -n "$ranks" farm $options --width 90 --height 61 --tasks 33 --image "$file"
        cmp "$first" "$file"
        rm "$file"
    done
}

@test "a killed worker ends the job at once, with a status that is not 0, and nothing is left" {
    farm=$BATS_TEST_TMPDIR/farm # a name by which what is left of it is found
    local victim status=0
    cp "$LOCKSTEP_BUILD/mpi/p2p/farm" "$farm"
    # work for long: that it ends at all is the death of the worker
    limited jobs/launch -n 4 "$farm" --width 16000 --height 16000 --depth 60000 \
        >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    until_true all_work
    victim=$(pgrep -f "^$farm --width" | tail -n 1)
    kill -KILL "$victim"
    wait $! || status=$?
    echo "status $status"
    cat "$BATS_TEST_TMPDIR/out"
    [ "$status" != 0 ]
    [ "$status" != 124 ]
    until_true none_left
}

# The heading is printed after MPI has begun on all ranks.
all_work() { [ "$(pgrep -fc "^$farm --width")" = 4 ] && grep -q '^# farm ' "$BATS_TEST_TMPDIR/out"; }
none_left() { ! pgrep -fa "^$farm"; }
