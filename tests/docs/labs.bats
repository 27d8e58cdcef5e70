#!/usr/bin/env bats
# The lab sheets hold: see sheet.bash.

load sheet

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    [ -x "${LOCKSTEP_BUILD:-build}/mpi/p2p/pingpong" ] || skip "there is no MPI here"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

@test "point-to-point" {
    check_sheet docs/labs/p2p.md
}

@test "deadlock" {
    check_sheet docs/labs/deadlock.md
}

@test "collective operations" {
    command -v smpicc >/dev/null || skip "smpicc is missing: make deps simulate"
    check_sheet docs/labs/collectives.md
}

@test "threads" {
    check_sheet docs/labs/threads.md
}

@test "processes" {
    check_sheet docs/labs/processes.md
}

@test "event loops and coroutines" {
    [ -x "${LOCKSTEP_BUILD:-build}/local/async/loop" ] || skip "there is no libuv here: make deps"
    check_sheet docs/labs/async.md
}

@test "ranks and threads, and where they run" {
    [ -x "${LOCKSTEP_BUILD:-build}/hybrid/pin/affinity" ] || skip "there is no hwloc or OpenMP here"
    check_sheet docs/labs/hybrid.md
}

@test "every program of these topics is in a sheet" {
    shopt -s nullglob
    for program in mpi/{p2p,deadlock,collective}/*.c local/{thread,process,async}/*.c \
        hybrid/{pin,thread,stencil,linear,shared}/*.c; do
        name=$(basename "$program" .c)
        grep -qw "$name" docs/labs/*.md || {
            echo "$name is in no sheet"
            return 1
        }
    done
}
