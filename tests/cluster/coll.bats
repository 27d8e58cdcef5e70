#!/usr/bin/env bats
# Every algorithm of mpi/lib/coll across pretend hosts: leaders, and ranks of a host that are no
# neighbours.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return
    build=${LOCKSTEP_BUILD:-build}
    test=$build/tests/unit/mpi/coll
}

@test "hosts of two ranks each, one after the other" {
    limited tests/cluster/hosts -n 3 -s 2 -- jobs/launch -n 6 "$test" --most 64K
}

@test "ranks dealt out to the hosts in turn" {
    limited tests/cluster/hosts -n 3 -s 2 -- env OMPI_ALLOW_RUN_AS_ROOT=1 \
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 5 --map-by node "$test" --most 64K
}
