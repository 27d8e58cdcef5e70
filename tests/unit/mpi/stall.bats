#!/usr/bin/env bats
# What a job that is stuck says, in which order, and that nothing of it is left behind.

bats_require_minimum_version 1.5.0
load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    program=$build/tests/unit/mpi/stall
    [ -x "$program" ] || skip "$program was not built"
}

# stuck RANKS ARGS...: what it says, times and host names left out, is in $said. A rank that
# computes on a busy machine may owe an answer at that moment, which one that is stuck cannot.
stuck() {
    local ranks=$1
    shift
    # a name of its own, so that its processes can be told from those of other tests
    ln -s "$PWD/$program" "$BATS_TEST_TMPDIR/stall"
    run --separate-stderr limited jobs/launch -n "$ranks" "$BATS_TEST_TMPDIR/stall" "$@"
    # shellcheck disable=SC2154 # set by run
    said=$(sed -nE '/^(stalled|rank|cycle|no cycle)/ {
        s/^(rank [0-9]+) \([^)]*\)/\1/; /^rank/ s/[0-9]+\.[0-9] s/T s/
        s/no answer for T s/computing, for T s/; p }' <<<"$stderr")
    printf '%s\n' "$stderr"
    [ "$status" = 3 ]
}

says() {
    diff - <(echo "$said")
}

none_left() { # mpirun may be done a bit earlier
    until_true no_stall
}

no_stall() { # zombies are init's to collect
    ! ps -eo stat=,args= |
        awk -v p="$BATS_TEST_TMPDIR/stall" '$1 !~ /^Z/ && $2 == p { left = 1 } END { exit !left }'
}

@test "a ring: rows in rank order, and the cycle" {
    stuck 5 --pattern ring
    says <<'END'
stalled: no rank can go on (limit 0.3 s)
rank 0: in MPI_Recv from rank 1, tag 0, for T s
rank 1: in MPI_Recv from rank 2, tag 0, for T s
rank 2: in MPI_Recv from rank 3, tag 0, for T s
rank 3: in MPI_Recv from rank 4, tag 0, for T s
rank 4: in MPI_Recv from rank 0, tag 0, for T s
cycle: rank 0 waits for rank 1 waits for rank 2 waits for rank 3 waits for rank 4 waits for rank 0
END
    none_left
}

@test "a rank alone that waits for itself" {
    stuck 1 --pattern ring
    says <<'END'
stalled: no rank can go on (limit 0.3 s)
rank 0: in MPI_Recv from rank 0, tag 0, for T s
cycle: rank 0 waits for rank 0
END
    none_left
}

@test "a rank that has finished is no cycle" {
    stuck 3 --pattern finish --root 1
    says <<'END'
stalled: no rank can go on (limit 0.3 s)
rank 0: in MPI_Recv from rank 1, tag 0, for T s
rank 1: finished T s ago
rank 2: in MPI_Recv from rank 1, tag 0, for T s
no cycle: rank 0 waits for rank 1, which has finished
END
    none_left
}

@test "rank 0 finishes early, and still tells the story" {
    stuck 2 --pattern skip
    says <<'END'
stalled: no rank can go on (limit 0.3 s)
rank 0: finished T s ago
rank 1: in MPI_Barrier with all ranks, for T s
no cycle: rank 1 waits for rank 0, which has finished
END
    none_left
}

@test "two ranks that are stuck end those that compute" {
    stuck 4 --pattern part
    says <<'END'
stalled: 2 of 4 ranks cannot go on (limit 0.3 s)
rank 0: in MPI_Recv from rank 1, tag 0, for T s
rank 1: in MPI_Recv from rank 0, tag 0, for T s
rank 2: computing, for T s
rank 3: computing, for T s
cycle: rank 0 waits for rank 1 waits for rank 0
END
    none_left
}

@test "a call that nobody announced: the bound" {
    stuck 2 --pattern hidden --limit 0.2
    says <<'END'
stalled: rank 0 has been so for more than 10 times the limit (limit 0.2 s)
rank 0: in MPI_Recv from rank 1, tag 0, for T s
rank 1: computing, for T s
END
    none_left
}

@test "no rank runs on when the first one has ended" {
    stuck 4 --pattern awake
    # shellcheck disable=SC2154 # set by run
    [[ $stderr != *"ran on"* ]]
    none_left
}

@test "what was printed before is not lost" {
    stuck 2 --pattern ring
    grep -q 'printed by rank 0 before' <<<"$output"
    [[ $output != *"and after"* ]]
}

@test "eight ranks, again and again: always 3" {
    ln -s "$PWD/$program" "$BATS_TEST_TMPDIR/stall"
    for _ in {1..5}; do
        run -3 limited jobs/launch -n 8 "$BATS_TEST_TMPDIR/stall" --pattern ring
    done
    none_left
}

@test "across hosts, with both MPIs" {
    [ -x tests/cluster/hosts ] || skip "tests/cluster/hosts is missing"
    stuck_on_hosts() {
        run --separate-stderr limited tests/cluster/hosts -n 3 -s 1 -- \
            jobs/launch -n 3 "$1/tests/unit/mpi/stall" --pattern ring
        [ "$status" != 77 ] || skip "$stderr"
        printf '%s\n' "$stderr"
        [ "$status" = 3 ]
        for i in 0 1 2; do
            grep -qE "^rank $i \(h$((i + 1))\): in MPI_Recv from rank $(((i + 1) % 3))," \
                <<<"$stderr"
        done
        grep -q '^cycle: rank 0 waits for rank 1 waits for rank 2 waits for rank 0$' <<<"$stderr"
    }
    stuck_on_hosts "$build"
    [ ! -x "build-mpich/tests/unit/mpi/stall" ] || stuck_on_hosts build-mpich
}
