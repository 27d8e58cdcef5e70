#!/usr/bin/env bats
#
# What the ranks of a job say when it ends by a mistake: one sentence, by the rank that has it; and
# how nodes are numbered where MPICH pretends that there are several.

bats_require_minimum_version 1.5.0
load ../../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../../.." || return
    build=${LOCKSTEP_BUILD:-build}
    program=$build/tests/unit/mpi/world
    [ -x "$program" ] || skip "$program was not built"
}

world() { # RANKS ARGS...: sets status, output (stdout) and told (our lines on stderr)
    local ranks=$1
    shift
    run --separate-stderr limited jobs/launch -n "$ranks" "$program" "$@"
    # shellcheck disable=SC2154 # bats sets it
    told=$(grep '^world: ' <<<"$stderr" || true)
}

is_mpich() { ldd "$program" | grep -q libmpich; }

# rows "ranks | how it ends | status | the whole line"
@test "each mistake is told once, by rank, call and reason" {
    local ranks how want line bad=0
    while IFS='|' read -r ranks how want line; do
        world "$ranks" --end "$how"
        # shellcheck disable=SC2053 # a pattern
        [[ $status = "$want" && $told == $line && $told != *$'\n'* ]] && continue
        echo "$how: status $status, not $want: $told"
        bad=$((bad + 1))
    done <<'END'
1|wrong_rank|1|world: rank 0: *MPI_Send*rank*
3|wrong_rank|1|world: rank 2: *MPI_Send*rank*
2|wrong_rank_on_node|1|world: rank 1: *MPI_Send*rank*
2|no_memory|1|world: rank 1: no memory for 4503599627370496 times 8 bytes: give a smaller size
2|too_many_bytes|1|world: rank 1: no memory for 4611686018427387903 times 8 bytes: *
3|abort|3|world: rank 2: it was 42
3|mismatch|2|world: expected 77 ranks, MPI says 3: launcher and library do not match: *
3|usage|2|world: rank 0 said so
END
    [ "$bad" = 0 ]
}

@test "options are refused, and --help is answered, by one rank alone" {
    world 3 --nonsense
    [ "$status" = 2 ]
    [ "$told" = "world: --nonsense: unknown option: see --help" ]
    world 3 --output /
    [ "$status" = 2 ]
    [ "$told" = "world: --output /: Is a directory: name a file that can be written" ]
    world 3 --help
    [ "$status" = 0 ]
    [ "$(grep -c '^world - ' <<<"$output")" = 1 ]
    [ "$(grep -c '^  --nodes ' <<<"$output")" = 1 ]
}

@test "nodes are counted in the order of their lowest ranks" {
    is_mpich || return 0 # only MPICH can pretend it
    MPIR_CVAR_ODD_EVEN_CLIQUES=1 world 5 --nodes 2
    [ "$status" = 0 ]
    MPIR_CVAR_NUM_CLIQUES=2 MPIR_CVAR_CLIQUES_BY_BLOCK=1 world 5 --nodes 2
    [ "$status" = 0 ]
    MPIR_CVAR_NOLOCAL=1 world 3 --nodes 3
    [ "$status" = 0 ]
}
