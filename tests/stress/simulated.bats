#!/usr/bin/env bats
# Many ranks under SimGrid: what takes too long for every check.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return
    command -v smpicc >/dev/null || skip "smpicc is missing: make deps simulate"
}

simulate() {
    limited jobs/simulate "$@"
}

@test "every algorithm is right at 256 ranks, and the quick ones at 1000" {
    simulate -n 256 build-sim/tests/unit/mpi/coll --most 1K
    simulate -n 1000 bcast --algorithm knomial,scatter_doubling --bytes 64K --root 500
    simulate -n 1000 allreduce --algorithm recursive_doubling,rabenseifner --bytes 64K
    simulate -n 1000 gather --algorithm binomial --bytes 64K --root 999
}
