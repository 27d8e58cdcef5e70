#!/usr/bin/env bats
# Whoever adds a program touches one file: it shows up in build, list, check and installation.

load copy

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    command -v mpicc >/dev/null || skip "there is no MPI here"
    local built=$PWD/build plain=${LOCKSTEP_BUILD:-build}
    copy_tree "$BATS_TEST_TMPDIR/tree"
    export MODE=debug # with one MPI; what is built already, and in the same way, is not built again
    [[ $plain != build || ! -d $built ]] || cp -a "$built" build-debug
    unset LOCKSTEP_BUILD LOCKSTEP_SECOND MAKEFLAGS MAKEOVERRIDES
}

@test "one new file is a new program: build, list, run, check, install" {
    sed -e 's/^ \* hello - .*/ * greet - say hello in a new program/' -e 's/P=hello/P=greet/' \
        mpi/p2p/hello.c >mpi/p2p/greet.c
    [ "$(git status --porcelain)" = "?? mpi/p2p/greet.c" ]

    make -s
    [ -x build-debug/mpi/p2p/greet ]
    make -s list | grep "^mpi/p2p/greet	say hello in a new program$"
    make -s run P=greet N=2 | grep '^PASS: 2 ranks'
    build-debug/mpi/p2p/greet --help | grep '^greet - say hello'
    make -s check TEST=mpi/p2p/greet.c | tee "$BATS_TEST_TMPDIR/check"
    grep 'mpi/p2p/greet.c .* ok' "$BATS_TEST_TMPDIR/check"
    grep '^Result: PASS$' "$BATS_TEST_TMPDIR/check"

    make -s install PREFIX="$BATS_TEST_TMPDIR/prefix"
    [ -x "$BATS_TEST_TMPDIR/prefix/libexec/lockstep/mpi/p2p/greet" ]
    cd / # the installed launch finds the installed program
    "$BATS_TEST_TMPDIR/prefix/share/lockstep/jobs/launch" -n 2 greet | grep '^PASS: 2 ranks'
}

@test "a program that breaks the contract is caught by its own test file" {
    sed -e 's/^ \* hello - .*/ * greet - a program whose check sees nothing wrong/' \
        -e 's/from.rank == rank &&/from.rank == 0 \&\&/' mpi/p2p/hello.c >mpi/p2p/greet.c
    run make -s check TEST=mpi/p2p/greet.c
    [ "$status" != 0 ]
    [[ $output == *"Result: FAIL"* ]]
}
