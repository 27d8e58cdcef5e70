#!/usr/bin/env bats
# However a program with children ends, no process of it is left: no zombie and no orphan. And where a
# child is killed that nobody meant to kill, the program ends, and says so.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    [ "$(uname)" = Linux ] || skip "children end with a killed parent on Linux alone"
    mark=lockstep-ends-$$-$BATS_TEST_NUMBER
    rounds=$(seq "${LOCKSTEP_ROUNDS:-1}") # of killing: each at other moments
}

teardown() { # of a test that failed
    local file
    while read -r file; do
        kill -KILL "$(basename "$(dirname "$file")")" 2>/dev/null || :
    done < <(grep -lz "^MARK=$mark$" /proc/[0-9]*/environ 2>/dev/null)
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

# A living child of a stopped process, or nothing.
pick() {
    local child state children=()
    read -ra children 2>/dev/null <"/proc/$1/task/$1/children" || : # no newline ends the line
    for child in $(shuf -e "${children[@]}"); do
        state=$(sed 's/.*) //' "/proc/$child/stat" 2>/dev/null) || continue
        [ "${state:0:1}" = Z ] || { echo "$child"; return; }
    done
}

# What a dead child that nobody has waited for ended by, as the system has it: 9 for SIGKILL, nothing for
# one that is gone. Fails while it lives.
end_of() {
    local fields
    fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [ "${fields:0:1}" = Z ] && echo "${fields##* }"
}

has_ended() {
    [[ $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) != [!Z]* ]]
}

# strike PAUSE PROGRAM ARGUMENT...: starts it and kills a child of it after a while. The parent is
# stopped meanwhile, so that the child is there, and dies of that. Fails if the program was faster.
strike() {
    MARK=$mark "$build/local/$2" "${@:3}" >"$BATS_TEST_TMPDIR/out" 2>&1 &
    parent=$!
    sleep "$1"
    while ! has_ended "$parent" && kill -STOP "$parent"; do
        child=$(pick "$parent")
        if [ -n "$child" ]; then
            kill -KILL "$child" 2>/dev/null || :
            until_true end_of "$child"
            [ "$(end_of "$child")" != 9 ] || return 0
        fi
        kill -CONT "$parent"
        sleep 0.003
    done
    return 1
}

# bereave PROGRAM ARGUMENT...: kills a child of it at some moment. It has to end with 1, a sentence, and
# nobody and nothing left.
bereave() {
    local parent child since status=0 tries
    for tries in {1..1000}; do
        ! strike "0.$((tries == 1 ? RANDOM % 2 : 0))$((RANDOM % 10))" "$@" || break
        wait "$parent" # it has done its work, and ended with 0
    done
    [ -n "$child" ]
    kill -CONT "$parent"
    since=${EPOCHREALTIME/[.,]/}
    until_true has_ended "$parent" # teardown kills who waits for the dead
    wait "$parent" || status=$?
    echo "$*: status $status $(((${EPOCHREALTIME/[.,]/} - since) / 1000)) ms after its child $child was killed"
    cat "$BATS_TEST_TMPDIR/out"
    [ "$status" = 1 ]
    grep -q "(pid $child) was killed by signal 9" "$BATS_TEST_TMPDIR/out"
    until_true none_left || { ps -ef && return 1; }
}

# Objects with a name are there for as long as a program takes to take the name away. Others may run.
none_named() {
    local name
    for name in /dev/shm/lockstep-* /dev/mqueue/lockstep-*; do
        [ ! -e "$name" ] || until_true test ! -e "$name" || return
    done
}

# Each of these takes long enough that it must be the death that ends it.
@test "by the death of a child that waits for others, or others for it" {
    for _ in $rounds; do
        bereave process/barrier --workers 4 --phases 1M
        for variant in shm lock mq pipe; do
            bereave process/queue --variant $variant --producers 2 --consumers 3 --count 1M --seconds 60
        done
        bereave process/pipe --stages 3 --count 1M
        bereave process/pool --work 1ms --count 100 --workers 3 --seconds 60
        bereave process/name --workers 1000
    done
    none_named
}

@test "by the death of a child that the parent waits for" {
    for _ in $rounds; do
        for variant in pipe socketpair ring; do
            bereave process/pipe --count 0 --stages 0 --variant $variant --rounds 1000 --seconds 60
        done
        for variant in anonymous named file; do
            bereave process/shared --variant $variant --count 100000 --seconds 60
        done
        for variant in fork exec serial; do
            bereave process/spawn --variant $variant --count 256M --seconds 60
        done
        bereave process/custom --count 256M --workers 3 --seconds 60
        bereave process/kill --variant graceful --seconds 60
        bereave process/background --variant all --count 1M
    done
    none_named
}

@test "by the death of a process beside an event loop" {
    [ -x "$build/local/async/executor" ] || skip "there is no libuv here"
    for _ in $rounds; do
        bereave async/executor --variant processes --count 200 --steps 256M
    done
}
