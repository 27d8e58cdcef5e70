#!/usr/bin/env bats
# The guides hold: see sheet.bash. That for clusters is followed on a private Slurm of four nodes, in
# a tree of its own, as a reader would.

load sheet
load ../cluster/session

setup_file() {
    session_start slurm --nodes 4
}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    [ -x "${LOCKSTEP_BUILD:-build}/mpi/p2p/hello" ] || skip "there is no MPI here"
    command -v jq >/dev/null || skip "jq is missing"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

teardown_file() {
    session_stop
}

# This tree in another place, with jobs of its own, where results and a site file may be left.
copy_of_tree() {
    local path
    mkdir "$BATS_TEST_TMPDIR/tree"
    for path in "$PWD"/*; do ln -s "$path" "$BATS_TEST_TMPDIR/tree"; done
    rm "$BATS_TEST_TMPDIR/tree/jobs"
    cp -r jobs "$BATS_TEST_TMPDIR/tree/jobs"
    rm -f "$BATS_TEST_TMPDIR/tree/jobs/site.sh"
    cd "$BATS_TEST_TMPDIR/tree" || return
}

@test "laptop" {
    copy_of_tree
    check_sheet docs/laptop.md
}

@test "cluster" {
    session_setup
    copy_of_tree
    in_place() { in_session "$@"; }
    check_sheet docs/cluster.md
}

@test "every script of jobs/ is in the guide for clusters" {
    local script name
    for script in jobs/*.sh; do
        name=$(basename "$script" .sh)
        grep -q "^#SBATCH" "$script" || continue
        grep -qw "$name" docs/cluster.md || { echo "$name is not in docs/cluster.md" && return 1; }
    done
}
