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

# The port on which a process listens, in hexadecimal digits; nothing if it does not.
port_of() {
    local sockets
    sockets=$(readlink "/proc/$1/fd/"* 2>/dev/null | sed -n 's/socket:\[\(.*\)\]/\1/p')
    awk -v sockets="$sockets" 'BEGIN { n = split(sockets, s); for (i = 1; i <= n; i++) own[s[i]] = 1 }
        $4 == "0A" && $10 in own { split($2, a, ":"); print a[2]; exit }' "/proc/$1/net/tcp" 2>/dev/null
}

# intrude ARGUMENT...: two strangers, a silent one and one with garbage, connect to an echo that is
# stopped while it listens. $status is its status, $output what it said.
intrude() {
    local server port silent loud watch
    for _ in $(seq 200); do
        "$echo" "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 &
        server=$!
        for _ in $(seq 50); do
            kill -STOP $server || break
            port=$(port_of $server)
            [ -z "$port" ] || break
            kill -CONT $server
        done
        if [ -n "$port" ] && exec {silent}<>"/dev/tcp/127.0.0.1/$((16#$port))" &&
            exec {loud}<>"/dev/tcp/127.0.0.1/$((16#$port))"; then
            printf '\377\377\377\377garbage' >&$loud
            kill -CONT $server
            (sleep 60; kill -KILL $server) 3>&- 2>/dev/null & # hours, for who waits for a silent one
            watch=$!
            status=0
            wait $server || status=$?
            kill $watch 2>/dev/null || :
            output=$(cat "$BATS_TEST_TMPDIR/out")
            echo "status $status: $output"
            exec {silent}>&- {loud}>&-
            return 0
        fi
        kill -KILL $server 2>/dev/null || : # it was too quick: once more
        wait $server || :
    done
    return 1
}

@test "strangers are refused, and keep nobody waiting" {
    [ "$(uname)" = Linux ] || skip "who listens where is read from Linux's /proc"
    for _ in 1 2 3; do
        intrude --clients 200 --messages 50
        [ "$status" = 0 ]
        [[ $output == *"PASS: 10000 answers, byte for byte and in order; 0 clients cut off"* ]]
    done
}

@test "more connections than descriptors are refused at once" {
    (ulimit -n 60 && ! "$echo" --clients 100 2>"$BATS_TEST_TMPDIR/err")
    grep -q "^echo: 100 connections take two descriptors each: give fewer --clients" "$BATS_TEST_TMPDIR/err"
}
