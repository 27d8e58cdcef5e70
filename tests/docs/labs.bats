#!/usr/bin/env bats
# The lab sheets hold: every command in a ```console block runs and ends with 0, or with the S of
# `# status S` behind it, and prints the lines that stand under it, in that order. `...` in such a line stands for
# anything; lines of output that the sheet does not show may stand between.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    [ -x "${LOCKSTEP_BUILD:-build}/mpi/p2p/pingpong" ] || skip "there is no MPI here"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

# "a ... b" as a pattern of the shell, in which nothing else is special
pattern_of() {
    printf '%s' "$1" | sed -e 's/[][*?\\]/\\&/g' -e 's/\.\.\./*/g'
}

# run_command LINE: sets $printed, fails if the status is another
run_command() {
    local wanted=0 status=0
    [[ $1 =~ \#\ status\ ([0-9]+)$ ]] && wanted=${BASH_REMATCH[1]}
    echo "\$ $1"
    if [[ $1 = export* ]]; then
        eval "$1"
        printed=
        return
    fi
    printed=$(timeout 60 bash -c "$1" 2>&1 </dev/null) || status=$?
    echo "$printed"
    [ "$status" = "$wanted" ] || {
        echo "status $status, the sheet says $wanted"
        return 1
    }
}

# expect_line LINE: it stands in what is left of $printed, which then begins behind it
expect_line() {
    local pattern line rest=$printed
    pattern=$(pattern_of "$1")
    while [ -n "$rest" ]; do
        line=${rest%%$'\n'*}
        if [ "$line" = "$rest" ]; then rest=; else rest=${rest#*$'\n'}; fi
        # shellcheck disable=SC2053  # a pattern
        if [[ $line == $pattern ]]; then
            printed=$rest
            return
        fi
    done
    echo "not printed: $1"
    return 1
}

check_sheet() {
    local line inside=no commands=0
    while IFS= read -r line; do
        case $inside$line in
        'no```console') inside=yes ;;
        'yes```') inside=no ;;
        'yes$ sbatch '*) printed='*' ;;
        'yes$ '*)
            run_command "${line#\$ }"
            commands=$((commands + 1))
            ;;
        'yes...' | no*) ;;
        yes*) expect_line "$line" ;;
        esac
    done <"$1"
    [ "$commands" -ge 5 ]
}

@test "point-to-point" {
    check_sheet docs/labs/p2p.md
}

@test "deadlock" {
    check_sheet docs/labs/deadlock.md
}

@test "collective operations" {
    command -v smpicc >/dev/null || skip "smpicc is missing: make deps simulate"
    check_sheet docs/labs/collectives.md
}

@test "threads" {
    check_sheet docs/labs/threads.md
}

@test "processes" {
    check_sheet docs/labs/processes.md
}

@test "event loops and coroutines" {
    [ -x "${LOCKSTEP_BUILD:-build}/local/async/loop" ] || skip "there is no libuv here: make deps"
    check_sheet docs/labs/async.md
}

@test "ranks and threads, and where they run" {
    [ -x "${LOCKSTEP_BUILD:-build}/hybrid/pin/affinity" ] || skip "there is no hwloc or OpenMP here"
    check_sheet docs/labs/hybrid.md
}

@test "every program of these topics is in a sheet" {
    shopt -s nullglob
    for program in mpi/{p2p,deadlock,collective}/*.c local/{thread,process,async}/*.c \
        hybrid/{pin,thread,stencil,linear,shared}/*.c; do
        name=$(basename "$program" .c)
        grep -qw "$name" docs/labs/*.md || {
            echo "$name is in no sheet"
            return 1
        }
    done
}
