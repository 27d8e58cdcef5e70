#!/usr/bin/env bats
# A build with a sanitizer is worth something only if it finds what it is for: a leak and a write
# past the end in an MPI program, a race between threads.

load copy

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    unset LOCKSTEP_BUILD LOCKSTEP_SECOND MAKEFLAGS MAKEOVERRIDES
    copy_tree "$BATS_FILE_TMPDIR/tree"
    make -s MODE=asan build-asan/local/lib.a
    make -s MODE=tsan build-tsan/local/lib.a
}

setup() {
    unset LOCKSTEP_BUILD LOCKSTEP_SECOND MAKEFLAGS MAKEOVERRIDES
    cp -a "$BATS_FILE_TMPDIR/tree" "$BATS_TEST_TMPDIR/tree"
    cd "$BATS_TEST_TMPDIR/tree" || exit
}

# plant FILE LINE_PATTERN TEXT: the text goes before the first line that matches, or the test ends
plant() {
    awk -v pattern="$2" -v text="$3" '
        !done && index($0, pattern) { print text; done = 1 }
        { print }
        END { exit !done }' "$1" >"$1.planted"
    mv "$1.planted" "$1"
}

finds() { # finds MODE PROGRAM WORDS: its test file fails, and says so in these words
    make -s "MODE=$1" "build-$1/$2"
    LOCKSTEP_BUILD=build-$1 MODE=$1 tests/harness "$2.c" >"$BATS_TEST_TMPDIR/tap" 2>&1 || :
    head -n 100 "$BATS_TEST_TMPDIR/tap"
    grep -q '^not ok' "$BATS_TEST_TMPDIR/tap"
    grep -q "$3" "$BATS_TEST_TMPDIR/tap"
}

# What MPI itself never frees is suppressed by name (tests/lsan.supp): leaks are looked for all the
# same, on each rank of a job.
@test "asan finds a leak of one rank in an MPI program" {
    command -v mpicc >/dev/null || skip "there is no MPI here"
    plant mpi/p2p/hello.c '    gethostname(mine.host' '    if (w->rank == 1) {
        char *volatile lost = world_alloc(w, 40, 1); lost[0] = 1; lost = NULL; }'
    finds asan mpi/p2p/hello 'LeakSanitizer: detected memory leaks'
    grep -q 'in world_alloc' "$BATS_TEST_TMPDIR/tap"
    grep -q '^ok .* 1 ranks$' "$BATS_TEST_TMPDIR/tap"
    grep -q '^not ok .* 2 ranks: ' "$BATS_TEST_TMPDIR/tap"
}

@test "asan finds what one rank of an MPI program writes past the end" {
    command -v mpicc >/dev/null || skip "there is no MPI here"
    plant mpi/p2p/hello.c '    gethostname(mine.host' '    if (w->rank == 1) {
        char *volatile block = world_alloc(w, 40, 1); block[40] = 1; }'
    finds asan mpi/p2p/hello 'heap-buffer-overflow'
    grep -q '^ok .* 1 ranks$' "$BATS_TEST_TMPDIR/tap"
    grep -q '^not ok .* 2 ranks: ' "$BATS_TEST_TMPDIR/tap"
}

@test "asan finds a write past the end" {
    plant local/thread/barrier.c '    sem_init(' '    team.slots[opt.workers] = 1;'
    finds asan local/thread/barrier 'heap-buffer-overflow'
}

@test "ubsan finds a shift that is too far" {
    plant local/thread/barrier.c '    struct program program;' \
        '    volatile int far = 40; volatile int shifted = 1 << far; (void)shifted;'
    finds asan local/thread/barrier 'shift exponent 40 is too large'
}

@test "tsan finds a race: the slots are read without the first barrier" {
    sed -i 's/    if (barrier->wait(barrier))$/    if (me == 0)/' local/thread/barrier.c
    git diff --quiet && return 1
    finds tsan local/thread/barrier 'ThreadSanitizer: data race'
}
