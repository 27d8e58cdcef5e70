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
