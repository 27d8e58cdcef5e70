#!/usr/bin/env bats
# Threads and processes that wait for one another: 200 times each, on a machine that is busy with
# something else, without a hang and without a wrong result.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    busy=()
    for _ in 1 2; do
        sh -c 'while :; do :; done' &
        busy+=($!)
    done
}

teardown() {
    kill "${busy[@]}"
}

# repeat PROGRAM ARGUMENT...: each time right, and within a minute
repeat() {
    local number status
    for number in $(seq 200); do
        status=0
        limited "$build/local/$1" "${@:2}" >"$BATS_TEST_TMPDIR/output" 2>&1 || status=$?
        [ "$status" = 0 ] || {
            echo "$*: run $number ended with $status:"
            cat "$BATS_TEST_TMPDIR/output"
            return 1
        }
    done
}

@test "threads" {
    quick=(--seconds 0.001 --iterations 3)
    repeat thread/barrier --variant all --phases 20 "${quick[@]}"
    repeat thread/condition --producers 3 --consumers 3 --capacity 1 "${quick[@]}"
    repeat thread/event --variant all "${quick[@]}"
    repeat thread/lock --variant all --count 100 "${quick[@]}"
    repeat thread/philosophers --variant all "${quick[@]}"
    repeat thread/pool --count 1000 --capacity 2 --grain 1 "${quick[@]}"
    repeat thread/queue --variant all --producers 3 --capacity 1 "${quick[@]}"
    repeat thread/race --variant all --count 1000 "${quick[@]}"
    repeat thread/rlock --variant all "${quick[@]}"
    repeat thread/rwlock --variant all --reads 100 "${quick[@]}"
    repeat thread/semaphore --variant all --hold 0 "${quick[@]}"
}

@test "processes" {
    quick=(--seconds 0.001 --iterations 3)
    repeat process/background --variant all
    repeat process/barrier --late 1ms --phases 10
    repeat process/kill --variant all --grace 5ms "${quick[@]}"
    repeat process/pipe --variant all "${quick[@]}"
    repeat process/pool --variant all --kill 1 "${quick[@]}"
    repeat process/queue --variant all --producers 2 --kill 1 --count 100 "${quick[@]}"
    repeat process/shared --variant all --kill 1 --count 1000 "${quick[@]}"
}

@test "event loops" {
    [ -x "$build/local/async/loop" ] || skip "there is no libuv here"
    repeat async/echo --clients 20 --messages 10 --vanish 10 --stuck 1
    repeat async/executor --variant all --steps 1000 --seconds 0.001 --iterations 3
    repeat async/future
}
