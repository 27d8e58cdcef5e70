#!/usr/bin/env bats
# An interrupted echo closes what it has open, and says so; its status is that of the signal.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    echo=${LOCKSTEP_BUILD:-build}/local/async/echo
    [ -x "$echo" ] || skip "there is no libuv here"
}

@test "an interrupt in the middle of the traffic" {
    local status=0 own=$BATS_TEST_TMPDIR/echo # a name by which it is found
    ln -s "$PWD/$echo" "$own"
    limited "$own" --clients 200 --messages 1000000 --stuck 2 >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    until_true in_traffic "$own"
    kill -INT "$pid"
    wait $! || status=$?
    echo "status $status"
    cat "$BATS_TEST_TMPDIR/out"
    [ "$status" = 130 ]
    grep -q "interrupted: everything is closed" "$BATS_TEST_TMPDIR/out"
}

# Sets pid. It listens to SIGINT, bit 2 of the mask, and its clients are connected.
in_traffic() { # in_traffic PROGRAM
    local caught
    pid=$(pgrep -f "^$1 --clients") && caught=$(sed -n 's/^SigCgt:.//p' "/proc/$pid/status") &&
        [ $((0x$caught & 2)) != 0 ] && [ "$(find "/proc/$pid/fd" -lname 'socket:*' | wc -l)" -ge 200 ]
}
