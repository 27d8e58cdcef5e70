#!/usr/bin/env bats
# An interrupted echo closes what it has open, and says so; its status is that of the signal.

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    echo=${LOCKSTEP_BUILD:-build}/local/async/echo
    [ -x "$echo" ] || skip "there is no libuv here"
}

@test "an interrupt in the middle of the traffic" {
    for secs in 0.1 0.5; do
        run timeout -k 10 -s INT --preserve-status $secs "$echo" --clients 200 --messages 1000000 --stuck 2
        [ "$status" = 130 ]
        [[ $output == *"interrupted: everything is closed"* ]]
    done
}
