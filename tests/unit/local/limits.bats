#!/usr/bin/env bats
# What a system may withhold from a program with processes or threads: each of the descriptors 0 to 2, and
# more processes. It says so, with the status of the contract, and nobody is left.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    mark=lockstep-limits-$$-$BATS_TEST_NUMBER
}

teardown() { [ -z "${open:-}" ] || rm -rf "$open"; }

none_left() { ! grep -qzs "^MARK=$mark$" /proc/[0-9]*/environ; }

# programs: the paths of all that are built, without those that need more than processes
programs() {
    local source
    for source in local/process/*.c local/async/*.c; do
        [ ! -x "$build/${source%.c}" ] || echo "$build/${source%.c}"
    done
}

quick() { # quick PROGRAM: arguments for a short run
    ! "$1" --help | grep -q "^  --seconds" || echo --seconds 0.01
}

# run_with STATUS COMMAND...: it ends with that, and is not there a while later
run_with() {
    local expected=$1 got=0
    shift
    MARK=$mark limited "$@" || got=$?
    echo "$*: $got" >>"$BATS_TEST_TMPDIR/log"
    [ "$got" = "$expected" ]
}

@test "descriptors that are closed" {
    while read -r program; do
        local arguments
        read -ra arguments <<<"$(quick "$program")"
        echo "$program"
        run_with 0 "$program" "${arguments[@]}" >/dev/null <&-
        run_with 0 "$program" "${arguments[@]}" >/dev/null 2>&-
        run_with 1 "$program" "${arguments[@]}" 2>"$BATS_TEST_TMPDIR/err" >&-
        grep -q "^${program##*/}: .*cannot be written" "$BATS_TEST_TMPDIR/err"
        run_with 1 "$program" "${arguments[@]}" <&- >&- 2>&-
        run_with 1 "$program" --help 2>"$BATS_TEST_TMPDIR/err" >/dev/full
        grep -q "^${program##*/}: the help cannot be written" "$BATS_TEST_TMPDIR/err"
    done < <(programs)
}

# few COUNT PROGRAM ARGUMENT...: as another user, who may have COUNT processes and threads
few() {
    local count=$1 user=$((100000 + RANDOM)) got=0
    shift
    MARK=$mark limited setpriv --reuid=$user --regid=$user --clear-groups \
        bash -c 'ulimit -u '"$count"' && exec "$@"' - "$open/$1" "${@:2}" \
        >"$BATS_TEST_TMPDIR/out" 2>&1 || got=$?
    echo "$*: $got: $(cat "$BATS_TEST_TMPDIR/out")"
    [ "$got" = 77 ]
    grep -q "^${1##*/}: .*: \(give\|raise\)" "$BATS_TEST_TMPDIR/out"
    [ "$(grep -c "^${1##*/}: " "$BATS_TEST_TMPDIR/out")" = 1 ]
    until_true none_left
}

@test "processes that the system does not give" {
    [ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ] || skip "limits of another user need root"
    open=$(mktemp -d "${TMPDIR:-/tmp}/limits.XXXXXX") # to all users, which the checkout may not be
    chmod 755 "$open"
    cp -r "$build/local/process" "$open"
    [ ! -d "$build/local/async" ] || cp -r "$build/local/async" "$open"
    # The leak checker of asan needs a process of its own.
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
    few 3 process/barrier --workers 9
    few 1 process/barrier --workers 9
    for variant in shm lock mq pipe; do
        few 3 process/queue --variant $variant --producers 3 --consumers 9
    done
    few 3 process/pool --workers 9
    few 3 process/pool --workers 9 --kill 3
    few 1 process/pool
    few 3 process/pipe --stages 9
    few 1 process/pipe --stages 0
    few 1 process/pipe --fault full
    for variant in anonymous named file threads; do
        few 3 process/shared --variant $variant --workers 9 --count 1000
    done
    few 3 process/custom --workers 9
    for variant in fork exec; do
        few 3 process/spawn --variant $variant --workers 9
    done
    few 1 process/spawn --variant serial
    few 1 process/spawn --fault status
    few 1 process/spawn --fault buffer
    few 3 process/name --workers 9
    few 1 process/name
    few 1 process/background --variant all
    few 2 process/background
    few 1 process/kill
    few 1 process/kill --fault no_wait
    [ -x "$build/local/async/executor" ] || return 0
    few 3 async/executor --variant threads --workers 40
    few 3 async/executor --variant processes --workers 40 --count 80
    few 1 async/executor --variant processes
    few 2 async/future
}
