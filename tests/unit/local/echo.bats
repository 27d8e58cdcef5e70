#!/usr/bin/env bats
# An interrupted echo closes what it has open, and says so; its status is that of the signal.

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    echo=${LOCKSTEP_BUILD:-build}/local/async/echo
    [ -x "$echo" ] || skip "there is no libuv here"
}

# Before it listens to signals, it is killed with the same status, and nothing is open: then later.
@test "an interrupt in the middle of the traffic" {
    for secs in 0.2 0.5 1 2 5; do
        run timeout -k 10 -s INT --preserve-status $secs "$echo" --clients 200 --messages 1000000 --stuck 2
        echo "$secs s: status $status: $output"
        [ "$status" = 130 ]
        [[ $output != *"interrupted: everything is closed"* ]] || return 0
        [[ $output != *clients* ]]
    done
    false
}
