#!/usr/bin/env bats
# A window that has no room in /dev/shm is refused in words, where MPI alone would end by SIGBUS.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    unshare -rm true 2>/dev/null || skip "no namespace can be made here"
}

with_shm() { # with_shm SIZE COMMAND...: in a /dev/shm of that size
    local size=$1
    shift
    limited unshare -rm sh -c 'mount -t tmpfs -o size='"$size"' none /dev/shm && exec "$@"' - "$@"
}

start() { # start SIZE BUILD PROGRAM ARGS...
    LOCKSTEP_BUILD=$2 run with_shm "$1" jobs/launch -n 2 "${@:3}" --seconds 0.01
    echo "$output"
}

refused() { # refused BUILD PROGRAM ARGS...
    start 24m "$@"
    [ "$status" = 77 ]
    [[ $output == *"has no room in /dev/shm"* ]]
    [[ $output != *PASS* ]]
}

@test "a table that does not fit, and one that does" {
    build=${LOCKSTEP_BUILD:-build}
    refused "$build" shared/table --bytes 64M
    start 24m "$build" shared/table --bytes 1M
    [ "$status" = 0 ]
    [ -z "${LOCKSTEP_SECOND:-}" ] || refused "$LOCKSTEP_SECOND" shared/table --bytes 64M
}

@test "arrays of stream that do not fit" {
    refused "${LOCKSTEP_BUILD:-build}" shared/stream --count 4M --variant shared
}

@test "matrices of transpose that do not fit" {
    refused "${LOCKSTEP_BUILD:-build}" transpose --n 2000
}

@test "a table of each rank's own needs no room there" {
    start 24m "${LOCKSTEP_BUILD:-build}" shared/table --bytes 64M --variant each
    [ "$status" = 0 ]
}
