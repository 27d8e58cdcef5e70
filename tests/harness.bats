#!/usr/bin/env bats
# The harness itself: what it takes for right, what it calls wrong, and how a test that hangs ends.

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    tree=$BATS_TEST_TMPDIR/tree
    mkdir -p "$tree/tests" "$tree/local/topic" "$tree/build/local/topic"
    cp tests/harness tests/wait.bash "$tree/tests"
    cd "$tree" || exit
    unset LOCKSTEP_BUILD LOCKSTEP_SECOND LOCKSTEP_TIER LOCKSTEP_LIMIT LOCKSTEP_MARK MODE CI
}

# program SCRIPT [TEST LINE]...: a program that is a script, and its source
program() {
    {
        echo '#!/bin/sh'
        echo 'case "$*" in --help) echo "fake - no program" && echo "  --format F" && echo "  --workers N" && exit ;; esac'
        echo "$1"
    } >build/local/topic/fake
    chmod +x build/local/topic/fake
    shift
    {
        printf '/*\n * fake - no program\n *\n'
        printf ' * %s\n' "$@"
        echo ' */'
    } >local/topic/fake.c
}

run_harness() { # run_harness FILE: sets output
    run tests/harness "$1" 3>&-
    echo "$output"
}

has() { # has LINE_PATTERN...
    local pattern
    for pattern; do grep -qE "$pattern" <<<"$output" || { echo "no line: $pattern" && return 1; }; done
}

@test "who ends with 0 must say PASS, or NOT STRUCK where a fault was asked for" {
    # shellcheck disable=SC2016  # expanded in the program
    program 'case " $* " in
        *" --silent "*) ;;
        *" --fault misses "*) echo "NOT STRUCK: no chance" >&2 ;;
        *) echo "PASS: well" ;;
        esac' 'Test: --plain' 'Test: --silent' 'Test: --fault misses' 'Test: --fault passes'
    run_harness local/topic/fake.c
    has '^ok .*--plain$' '^not ok .*--silent: status 0, and no line .PASS' '^ok .*--fault misses$' \
        '^not ok .*--fault passes: status 0, and no line .NOT STRUCK'
}

@test "the status must be that of the Test line; 77 is a skip, and a failure with CI set" {
    # shellcheck disable=SC2016
    program 'case $1 in --status) echo "no room" && exit "$2" ;; esac; echo "PASS: well"' \
        'Test(3): --status 3' 'Test(1): --status 3' 'Test: --status 77' 'Test(77): --status 77'
    run_harness local/topic/fake.c
    has '^ok .* - build: --status 3$' '^not ok .* build: --status 3: status 3, not 1$' \
        '^ok .*--status 77 # SKIP no room$' '^ok .*--status 77$'
    CI=true run_harness local/topic/fake.c
    has '^not ok .*--status 77: required, but skipped: no room$'
}

nothing_sleeps() { ! pgrep -af "^$BATS_TEST_TMPDIR/sleeper"; }

@test "the sweep of each tier, and with a sanitizer" {
    program 'echo "PASS: well"' 'Test:'
    swept() { sed -n 's/^ok .* - build: \([0-9]*\) workers$/\1/p' <<<"$output" | xargs; }
    run_harness local/topic/fake.c
    [ "$(swept)" = "1 2 3 5 8" ]
    LOCKSTEP_TIER=quick run_harness local/topic/fake.c
    [ "$(swept)" = "1 3" ]
    MODE=asan run_harness local/topic/fake.c
    [ "$(swept)" = "1 2 3" ]
}

@test "a case that hangs ends by its name, with all that it started" {
    cp "$(command -v sleep)" "$BATS_TEST_TMPDIR/sleeper"
    program "setsid $BATS_TEST_TMPDIR/sleeper 3000 & $BATS_TEST_TMPDIR/sleeper 3001" 'Test: --hang'
    LOCKSTEP_LIMIT=1 run_harness local/topic/fake.c
    has '^not ok .*--hang: status 124, not 0$' '^# .*ended after 1 s'
    nothing_sleeps
}

@test "a bats file that hangs ends by the name of the test, with all that it started" {
    cp "$(command -v sleep)" "$BATS_TEST_TMPDIR/sleeper"
    printf '%s\n' '@test "quick one" { true; }' "@test \"slow # one\" { $BATS_TEST_TMPDIR/sleeper 3000; }" \
        '@test "never" { true; }' >tests/hangs.bats
    local limit
    for limit in 1 5 25 100; do # a busy machine takes its time to come to the second
        LOCKSTEP_LIMIT=$limit run_harness tests/hangs.bats
        ! grep -q '^not ok' <<<"$output" || break
    done
    [ "$status" != 0 ]
    has '^ok 1 quick one$' '^not ok 2 slow # one: it did not end$'
    nothing_sleeps
}

@test "its files are nobody else's; what Open MPI shares is a folder without any of them" {
    # shellcheck disable=SC2016  # expanded in the program
    program 'own=$(dirname "$(readlink "/proc/$$/fd/1")")
        stat -c "%a %n" "$own" "$OMPI_MCA_orte_tmpdir_base"
        [ "$(stat -c %a "$own")" = 700 ] && [ "$(stat -c %a "$OMPI_MCA_orte_tmpdir_base")" = 1777 ] &&
            [ -z "$(ls -A "$OMPI_MCA_orte_tmpdir_base")" ] && echo "PASS: well"' 'Test: --look'
    run_harness local/topic/fake.c
    has '^ok .*--look$'
}
