#!/usr/bin/env bats
# However a program with children ends, no process of it is left: no zombie and no orphan.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    [ "$(uname)" = Linux ] || skip "children end with a killed parent on Linux alone"
    mark=lockstep-ends-$$-$BATS_TEST_NUMBER
}

# No process was started with our mark in its environment.
none_left() { ! grep -qzs "^MARK=$mark$" /proc/[0-9]*/environ; }

# ends SIGNAL AFTER_SECS PROGRAM ARGUMENT...
ends() {
    local signal=$1 after=$2 status=0
    shift 2
    MARK=$mark "$build/local/process/$1" "${@:2}" >/dev/null 2>&1 &
    local parent=$!
    sleep "$after"
    kill -"$signal" $parent 2>/dev/null || :
    wait $parent || status=$?
    echo "$*: $signal after $after s: status $status"
    until_true none_left || { ps -ef && return 1; }
}

@test "by a signal, at several moments" {
    for signal in TERM HUP KILL; do # INT is ignored in the background
        for after in 0 0.01 0.05 0.2; do
            ends $signal $after background --variant all --count 100000
            ends $signal $after kill --variant all --seconds 10
            ends $signal $after pool --work 1ms --count 100000 --seconds 10
        done
    done
}

@test "by itself" {
    ends 0 0 background --variant all
    ends 0 0 kill --variant all --grace 5ms --seconds 0.01
    ends 0 0 pool --kill 3 --seconds 0.01
}
