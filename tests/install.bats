#!/usr/bin/env bats
# What `make install` copies is whole: its jobs, programs, studies, the doctor and the report run from
# there, from any directory, with blanks in the path, and for an ordinary user.

load wait

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return
    open=$(mktemp -d) # to all users, which bats' own directory may not be
    chmod 755 "$open"
    export open
    make -s install DESTDIR="$open/a tree" PREFIX=/usr >"$BATS_FILE_TMPDIR/log" 2>&1 ||
        { cat "$BATS_FILE_TMPDIR/log" && return 1; }
}

setup() {
    jobs="$open/a tree/usr/share/lockstep/jobs"
    unset LOCKSTEP_BUILD
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    cd "$BATS_TEST_TMPDIR" || return
}

teardown_file() {
    rm -rf "$open"
}

@test "nothing of one machine is installed, and nothing is missing" {
    [ ! -e "$jobs/site.sh" ]
    local file
    cd "$BATS_TEST_DIRNAME/.."
    for file in jobs/* jobs/*/*; do
        [[ -d $file || $file = jobs/site.sh ]] || [ -e "$jobs/${file#jobs/}" ]
    done
    [ -e "$jobs/../docs/labs/p2p.md" ]
    [ -e "$jobs/../docs/cluster.md" ]
}

@test "programs and jobs run from there" {
    [ -x "$open/a tree/usr/libexec/lockstep/mpi/p2p/hello" ] || skip "there is no MPI here"
    local script
    for script in hello scatter gather; do
        run limited "$jobs/$script.sh"
        echo "$output"
        [ "$status" = 0 ]
        [[ $output == *"libexec/lockstep/mpi/"* ]]
        grep -q '^PASS' <<<"$output"
    done
    run limited "$jobs/doctor" --only mixed,script
    echo "$output"
    [ "$status" = 0 ]
}

@test "a study, and its report" {
    [ -x "$open/a tree/usr/libexec/lockstep/hybrid/linear/cg" ] || skip "there is no hwloc here"
    command -v jq >/dev/null || skip "jq is missing"
    echo 'strong 1 1 1 --n 20 --seconds 0.02' >table
    run limited "$jobs/scaling.sh" --program linear/cg --table table --folder results
    echo "$output"
    [ "$status" = 0 ]
    [ -s results/report.html ]
}

@test "for an ordinary user" {
    [ "$(id -u)" = 0 ] || return 0 # then the tests above are this one
    [ -x "$open/a tree/usr/libexec/lockstep/mpi/p2p/hello" ] || skip "there is no MPI here"
    local home=$open/home
    mkdir "$home"
    chown nobody "$home"
    # shellcheck disable=SC2016  # expanded inside
    run limited setpriv --reuid nobody --clear-groups \
        env -u OMPI_ALLOW_RUN_AS_ROOT HOME="$home" TMPDIR="$home" \
        sh -c 'cd "$0" && "$1/scatter.sh" && "$1/threads.sh" thread/create' "$home" "$jobs"
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c '^PASS' <<<"$output")" = 2 ]
}
