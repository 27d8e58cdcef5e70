#!/usr/bin/env bats
# Hostile values: each program gets 60 command lines that nobody should give it, drawn from its own
# --help by a fixed seed (LOCKSTEP_SEED draws others). Each ends by itself, with a status of the
# contract and, where that is not 0, with a sentence; and no result is lost with status 0. Programs of
# local/ run in the build with asan and ubsan, the others as one rank, without a launcher.

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    make -s -j2 MODE=asan all
}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    tree=$PWD
    export LC_ALL=C OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export ASAN_OPTIONS=exitcode=99:allocator_may_return_null=1:max_allocation_size_mb=4096
    export UBSAN_OPTIONS=exitcode=99:print_stacktrace=1
    export LSAN_OPTIONS=exitcode=99:print_suppressions=0:suppressions=$tree/tests/lsan.supp
}

LINES_EACH=60
SECS_EACH=30 # --seconds and --limit are short

# values KIND: what may be given to an option of this kind, a line each
values() {
    local long
    long=$(printf '9%.0s' {1..5000})
    # shellcheck disable=SC2016 # nothing is to expand
    case $1 in
    SIZE)
        printf '%s\n' 0 1 2 3 7 63 64 65 1000 1001 4095 65537 1048577 2147483647 2147483648 \
            4294967295 4294967296 4294967297 9007199254740993 288230376151711744 \
            1152921504606846975 1152921504606846976 2305843009213693952 9223372036854775807 \
            9223372036854775808 18446744073709551615 18446744073709551616 "$long" \
            1K 1G 1073741824G 17179869183G 1T 1.5 1e9 -1 +1 0x10 '' ' ' ' 1' '1 ' K 1KK 08 nan \
            '%s%n' '$(id)' 'é'
        ;;
    'SIZE[:SIZE]')
        values SIZE
        printf '%s\n' 0:0 0:1 1:0 1:1G 8:4M 1:1152921504606846976 9223372036854775807:9223372036854775807 \
            : 1: :1 1:2:3 1-2 0:1152921504606846976
        ;;
    NUMBER)
        printf '%s\n' 0 1 2 3 -1 -2147483648 -2147483649 2147483647 2147483648 1000000 4097 99 \
            9223372036854775808 "$long" 1K 1.5 1e9 0x10 '' ' ' ' 1' '1 ' nan 08 '%s%n'
        ;;
    TIME)
        # A thousand million seconds are allowed, and waited for: none of them is here.
        printf '%s\n' 0 0s 0us 1us 1ms 1e-300 1e-9 0.5us 1 1e10 1e19 1e308 1e999 nan inf -1 -0 \
            0x1p3 '' ' ' s ms 1h '1 s' 1,5 "$long" 1000000000.5 '%s%n'
        ;;
    TEXT)
        printf '%s\n' '' . .. / /dev/null /dev/full /dev/zero /nonexistent/x 'a b' - -- --help '%s%n%d' \
            '$(touch pwned)' '`touch pwned`' "x'y" 'x"y' $'a\tb' 'é' "$(printf 'x%.0s' {1..300})" "$long" \
            plain.csv plain.svg plain.png ./x/y .svg
        ;;
    '') echo '' ;;                                             # a flag
    *) tr '|' '\n' <<<"$1"; printf '%s\n' '' x "$1" '|' "$long" ;; # one of some words
    esac
}

# lines HELP: "OPTION<tab>VALUE" of LINES_EACH command lines, drawn from all by the seed
lines() {
    local name kind value
    while read -r name kind; do
        while IFS= read -r value; do
            printf '%s\t%s\n' "$name" "$value"
        done < <(values "$kind")
    done < <(sed -n 's/^  --\([a-z-]*\)\( [A-Za-z_0-9|:[\]*\]*\)\?  .*/\1\2/p' <<<"$1" | grep -v '^help') |
        shuf --random-source=<(yes "${LOCKSTEP_SEED:-lockstep}") | head -n "$LINES_EACH"
}

complain() { # complain WHAT COMMAND...: and go on, so that one run names them all
    echo "$1: $(printf '%.200q ' "${@:2}")"
    tail -n 15 out err
    bad=$((bad + 1))
}

# does_what_was_asked VALUE: whether the last run, which did not end, has computed all the time because
# VALUE asked for millions of something. Who hangs sleeps, or was asked for little.
does_what_was_asked() {
    local user
    read -r user _ <cpu
    [[ $1 =~ ^0*[0-9]{7,19}$|^[0-9]+[MG]$|:[0-9]*[MG]$|:[0-9]{7,}$ ]] && [ "${user%.*}" -gt $((SECS_EACH / 4)) ]
}

# attempt VALUE COMMAND...: what each command line has to stand
attempt() {
    local value=$1 status=0 TIMEFORMAT='%U %S'
    shift
    { time timeout -k 5 "$SECS_EACH" "$@" >out 2>err </dev/null; } 2>cpu || status=$?
    case $status in
    0) ;;
    1 | 2 | 3 | 75 | 77) grep -qaE "^(${1##*/}: |FAIL: )" out err || complain "status $status without a sentence" "$@" ;;
    124 | 137) does_what_was_asked "$value" || complain "it did not end" "$@" ;;
    *) complain "status $status" "$@" ;;
    esac
    ! grep -qaE 'Sanitizer|runtime error:' out err || [ "$status" = 99 ] || complain "a finding" "$@"
    [ ! -e pwned ] || complain "it ran a command" "$@"
}

# loses COMMAND...: its output cannot be written, and it says so
loses() {
    local status=0
    timeout -k 5 "$SECS_EACH" "$@" 2>err </dev/null || status=$?
    if [ "$status" != 1 ] || ! grep -q "^${1##*/}: .*cannot be written" err; then
        complain "output was lost, with status $status" "$@" >&4
    fi
}

attack() { # attack BUILD SOURCE...
    local build=$tree/$1 source program help option value quick bad=0
    shift
    exec 4>&1 # for what is said while stdout goes nowhere
    cd "$BATS_TEST_TMPDIR" || return
    for source in "$@"; do
        program=$build/${source%.c}
        [ -x "$program" ] || continue
        help=$("$program" --help)
        quick=()
        ! grep -q '^  --seconds ' <<<"$help" || quick+=(--seconds 0.01)
        ! grep -q '^  --limit ' <<<"$help" || quick+=(--limit 1s)
        ! grep -q '^  --allow-others ' <<<"$help" || quick+=(--allow-others)
        while IFS=$'\t' read -r option value; do
            if grep -qE "^  --$option  " <<<"$help"; then
                attempt '' "$program" "${quick[@]}" "--$option"
            else
                attempt "$value" "$program" "${quick[@]}" "--$option" "$value"
            fi
        done < <(lines "$help")
        loses "$program" "${quick[@]}" >/dev/full
        loses "$program" "${quick[@]}" >&-
        loses "$program" --help >/dev/full
        loses "$program" "${quick[@]}" --output /dev/full >out
        attempt '' "$program" "${quick[@]}" --format csv
    done
    echo "$bad command lines went wrong"
    [ "$bad" = 0 ]
}

sources() { # sources LAYER: those of its programs
    find "$1" -mindepth 2 -name "*.c" -not -path "*/lib/*" | LC_ALL=C sort
}

@test "local, with asan and ubsan" {
    # shellcheck disable=SC2046 # paths without blanks
    attack build-asan $(sources local)
}

@test "mpi, as one rank" {
    [ -x "${LOCKSTEP_BUILD:-build}/mpi/p2p/hello" ] || skip "there is no MPI here"
    ulimit -v 8000000 # kB: too much memory is refused, and not the machine's
    # shellcheck disable=SC2046
    attack "${LOCKSTEP_BUILD:-build}" $(sources mpi)
}

@test "hybrid, as one rank" {
    [ -x "${LOCKSTEP_BUILD:-build}/hybrid/pin/affinity" ] || skip "hybrid is not built here"
    ulimit -v 8000000
    # shellcheck disable=SC2046
    attack "${LOCKSTEP_BUILD:-build}" $(sources hybrid)
}
