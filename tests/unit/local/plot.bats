#!/usr/bin/env bats
# --plot: what gnuplot is given, and what is refused.

load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || exit
    build=${LOCKSTEP_BUILD:-build}
    [ -x "$build/mpi/p2p/pingpong" ] || skip "there is no MPI here"
    export LOCKSTEP_BUILD=$build OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

draw() { # draw FILE [ARGUMENT]...
    limited jobs/launch -n 2 pingpong --seconds 0.01 --bytes 1:64 --plot "$@"
}

@test "a curve as SVG and as PNG, also where the file's name has a quote and a blank" {
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    draw "$BATS_TEST_TMPDIR/it's one.svg"
    grep -q '<svg' "$BATS_TEST_TMPDIR/it's one.svg"
    grep -q 'size of the message (bytes)' "$BATS_TEST_TMPDIR/it's one.svg"
    grep -q 'half round trip (us)' "$BATS_TEST_TMPDIR/it's one.svg"
    draw "$BATS_TEST_TMPDIR/one.png"
    [ "$(head -c 8 "$BATS_TEST_TMPDIR/one.png" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
}

@test "what cannot be drawn is refused before anything is measured" {
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    run draw one.pdf
    [ "$status" = 2 ]
    [[ $output == *"pingpong: --plot one.pdf: not .svg or .png: "* ]]
    run draw /nonexistent/one.svg
    [ "$status" = 2 ]
    [[ $output == *"pingpong: --plot /nonexistent/one.svg: No such file or directory: "* ]]
}

@test "an older drawing stays until there is another; no two options write one file" {
    local svg=$BATS_TEST_TMPDIR/old.svg
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    echo old >"$svg"
    run draw "$svg" --bytes 8:4
    [ "$status" = 2 ]
    run draw "$svg" --bytes 0
    [ "$status" = 1 ]
    ln -s old.svg "$BATS_TEST_TMPDIR/link.svg"
    run draw "$svg" --output "$BATS_TEST_TMPDIR/link.svg"
    echo "$output"
    [ "$status" = 2 ]
    [[ $output == *"pingpong: --output and --plot: both are the file $svg: name two"* ]]
    [ "$(cat "$svg")" = old ]
    draw "$svg" --output "$BATS_TEST_TMPDIR/new.json" --format json
    grep -q '<svg' "$svg"
    grep -q '"median_s"' "$BATS_TEST_TMPDIR/new.json"
}

@test "a row that cannot stand on a logarithmic axis is left out; no row at all is told" {
    command -v gnuplot >/dev/null || skip "there is no gnuplot"
    run draw "$BATS_TEST_TMPDIR/none.svg" --bytes 0
    [ "$status" = 1 ]
    [[ $output == *"no row can be drawn"* ]]
    draw "$BATS_TEST_TMPDIR/some.svg" --bytes 0:8
}

@test "without gnuplot the program ends with 77 and says so" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s "$(command -v sh)" "$BATS_TEST_TMPDIR/bin/sh"
    LOCKSTEP_LAUNCHER="mpirun --oversubscribe -n %n env PATH=$BATS_TEST_TMPDIR/bin" \
        run jobs/launch -n 2 pingpong --plot one.svg
    echo "$output"
    [ "$status" = 77 ]
    [[ $output == *"there is no gnuplot"* ]]
}
