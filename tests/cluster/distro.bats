#!/usr/bin/env bats
# This tree on bare Debian 13: what `make deps` names is all that it needs, and the quick tier
# passes there. (Debian 12: tests/cluster/distro bookworm.)

bats_require_minimum_version 1.5.0

distro=$BATS_TEST_DIRNAME/distro

# Whether the system lets this user have namespaces; no test of tests/cluster could run without.
namespaces() { unshare --mount --pid --ipc --uts --fork --mount-proc true 2>/dev/null; }

setup() {
    [ -z "${LOCKSTEP_DISTRO:-}" ] || skip "this is such a tree already"
}

need_distro() {
    [ "$(id -u)" = 0 ] || skip "debootstrap needs root"
    command -v debootstrap >/dev/null || skip "debootstrap is missing"
    namespaces || skip "namespaces are not permitted"
}

@test "wrong usage ends with 2 and a sentence; what is missing with 77" {
    local case
    for case in "" "--nonsense" "../etc" "13"; do
        # shellcheck disable=SC2086  # the words of the case
        run "$distro" $case
        echo "$case: $output"
        [[ $status = 2 && ${#lines[@]} = 1 && $output == "distro: "* ]]
    done
    need_distro
    LOCKSTEP_DISTRO_CACHE=$BATS_TEST_TMPDIR run "$distro" nosuch
    echo "$output"
    [[ $status = 77 && $output == "distro: cannot run here: debootstrap does not know nosuch" ]]
    LOCKSTEP_DISTRO=inside run "$distro" trixie
    [ "$status" = 77 ]
    mkdir "$BATS_TEST_TMPDIR/bin" # where the system refuses
    printf '%s\n' '#!/bin/sh' 'echo no way >&2' 'exit 1' >"$BATS_TEST_TMPDIR/bin/unshare"
    chmod +x "$BATS_TEST_TMPDIR/bin/unshare"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$distro" trixie
    echo "$output"
    [[ $status = 77 && $output == *"namespaces are not permitted (no way)" ]]
}

@test "a fresh root directory, the command's status, nothing left" {
    need_distro
    local before after
    before=$(sort /proc/self/mountinfo)
    # shellcheck disable=SC2016  # expanded inside
    run --separate-stderr "$distro" trixie bash -c '
        echo "$PWD, process $$ or less, Debian $(cat /etc/debian_version)"
        echo "$(ls / | wc -l) $(git status --short 2>&1 | head -n 1)"
        cmp README.md - && sleep 98765 & exit 7' <README.md
    echo "$output"
    [ "$status" = 7 ]
    [[ ${lines[0]} == "/srv/lockstep, process "*"Debian 13"* ]]
    after=$(sort /proc/self/mountinfo)
    [ "$before" = "$after" ]
    run ! pgrep -f "^sleep 98765$"
}

@test "kill -9 leaves no process and no mount; the next run clears what it had on the disk" {
    need_distro
    local cache=${LOCKSTEP_DISTRO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lockstep} pid runs
    "$distro" trixie bash -c \
        "echo inside >/tmp/here; exec -a $BATS_TEST_TMPDIR/waiting sleep 1000" 3>&- &
    pid=$!
    until pgrep -f "^$BATS_TEST_TMPDIR/waiting" >/dev/null; do sleep 0.1; done
    runs=("$cache"/run.*/root/tmp/here)
    [ -e "${runs[0]}" ]
    kill -9 $pid
    while pgrep -f "^$BATS_TEST_TMPDIR/waiting" >/dev/null; do sleep 0.1; done
    "$distro" trixie true
    [ ! -e "${runs[0]}" ]
}

@test "Debian 13: make deps run, make deps check" {
    need_distro
    "$distro" trixie >&3 2>&1
}
