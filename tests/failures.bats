#!/usr/bin/env bats
# What a user meets when something goes wrong: one sentence, the documented status, nothing left.

load wait

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    build=${LOCKSTEP_BUILD:-build}
    [ -x "$build/mpi/collective/scatter" ] || skip "there is no MPI here"
    # A name of its own for each test's program, by which what it leaves is found.
    scatter=$BATS_TEST_TMPDIR/scatter
    cp "$build/mpi/collective/scatter" "$scatter"
}

# Runs the program on RANKS ranks: its status, its own lines on stderr in $said.
start() { # start RANKS ARGS...
    local ranks=$1
    shift
    status=0
    limited jobs/launch -n "$ranks" "$scatter" "$@" \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
    # PRRTE of Open MPI 5.0 puts a NUL before what follows a message of its own.
    said=$(tr -d '\0' <"$BATS_TEST_TMPDIR/err" | grep '^scatter: ') || :
    cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"
}

nothing_left() { until_true no_scatter; }
no_scatter() { ! pgrep -fa "^$scatter"; }

# The heading is printed after MPI has begun on all ranks.
all_scatter() {
    [ "$(pgrep -fc "^$scatter --count")" = 4 ] && grep -q '^# scatter ' "$BATS_TEST_TMPDIR/out"
}

@test "bad usage: one line from the program, status 2, nobody left" {
    local arguments
    for arguments in "--count 10x" "--count -1" "--count 99999999999G" "--count 3G" "--root 9" \
        "--root -1" "--input /nonexistent" "--input /" "--format xml" "--nonsense" "word" \
        "--count" "--output /nonexistent/file" "--fault other" "--seconds 5y"; do
        # shellcheck disable=SC2086 # words
        start 4 $arguments
        [ "$status" = 2 ]
        [ "$(wc -l <<<"$said")" = 1 ]
        [[ $said == "scatter: "*:* ]]
        nothing_left
    done
}

@test "a wrong element is a FAIL, with its place, and status 1" {
    start 3 --count 1000 --fault corrupt
    [ "$status" = 1 ]
    grep -q '^FAIL: element 500 (rank 1) is 500, it should be 501$' "$BATS_TEST_TMPDIR/out"
    start 3 --count 1000 --fault drop
    [ "$status" = 1 ]
    grep -q '^FAIL: only 999 of 1000 elements arrived: nobody has number 999$' \
        "$BATS_TEST_TMPDIR/out"
    start 4 --input README.md --fault corrupt --root 2
    [ "$status" = 1 ]
    grep -q '^FAIL: rank [0-3] does not hold the bytes' "$BATS_TEST_TMPDIR/out"
}

killed_rank() { # killed_rank COMMAND...: kills one of its ranks while they scatter
    local victim
    limited "$@" --count 1M --seconds 86400 --iterations 100M >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    until_true all_scatter
    victim=$(pgrep -f "^$scatter --count" | tail -n 1)
    kill -KILL "$victim"
    status=0
    wait $! || status=$?
    echo "status $status"
    [ "$status" != 0 ]
    [ "$status" != 124 ]
    nothing_left
}

@test "a rank killed in the middle ends the job, with a status that is not 0" {
    killed_rank jobs/launch -n 4 "$scatter"
}

@test "the same under the second MPI" {
    [ -n "${LOCKSTEP_SECOND:-}" ] || return 0
    cp "$LOCKSTEP_SECOND/mpi/collective/scatter" "$scatter"
    killed_rank jobs/launch -n 4 "$scatter"
}

@test "SIGTERM to jobs/launch ends all ranks" {
    local launch
    jobs/launch -n 4 "$scatter" --count 1M --seconds 86400 --iterations 100M \
        >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    launch=$!
    until_true all_scatter
    kill -TERM "$launch"
    status=0
    wait "$launch" || status=$?
    [ "$status" != 0 ]
    nothing_left
}

@test "results that do not arrive: told, status 1" {
    [ -e /dev/full ] || skip "there is no /dev/full"
    start 2 --output /dev/full
    [ "$status" = 1 ]
    [ "$said" = "scatter: the results cannot be written to /dev/full: No space left on device" ]

    status=0
    "$build/local/thread/barrier" --seconds 0.01 >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
    [ "$status" = 1 ]
    grep -q '^barrier: .*No space left' "$BATS_TEST_TMPDIR/err"

    # A reader that leaves is no death by SIGPIPE (141). The pipe has no reader before we write.
    mkfifo "$BATS_TEST_TMPDIR/pipe"
    status=0
    (
        exec 3<>"$BATS_TEST_TMPDIR/pipe" 4>"$BATS_TEST_TMPDIR/pipe" 3>&-
        exec "$build/local/thread/barrier" --seconds 0.01 >&4
    ) 2>"$BATS_TEST_TMPDIR/err" || status=$?
    [ "$status" = 1 ]
    grep -q '^barrier: .*Broken pipe' "$BATS_TEST_TMPDIR/err"
}

@test "too little memory is told, and ends all ranks" {
    status=0
    (ulimit -v 4000000 && limited jobs/launch -n 3 "$scatter" --count 1G) \
        >"$BATS_TEST_TMPDIR/err" 2>&1 || status=$?
    cat "$BATS_TEST_TMPDIR/err"
    [ "$status" = 1 ]
    tr -d '\0' <"$BATS_TEST_TMPDIR/err" |
        grep '^scatter: rank 0: no memory for 1073741824 times 8 bytes'
    nothing_left
}

@test "N jobs of one rank, by the launcher of another MPI, are caught" {
    status=0
    LOCKSTEP_RANKS=4 limited "$build/mpi/collective/scatter" >"$BATS_TEST_TMPDIR/err" 2>&1 ||
        status=$?
    [ "$status" = 2 ]
    grep -q '^scatter: expected 4 ranks, MPI says 1' "$BATS_TEST_TMPDIR/err"
}
