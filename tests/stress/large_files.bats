#!/usr/bin/env bats
# Files past what an int can count, and no more memory than the blocks need.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    [ -x "${LOCKSTEP_BUILD:-build}/mpi/collective/scatter" ] || skip "there is no MPI here"
    available=$(($(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1048576))
    file=$BATS_TEST_TMPDIR/file
}

# scatter_file RANKS GIB: the run passes; the root held the file once, the others their block
# (and 64 MB for the program and MPI).
scatter_file() {
    local ranks=$1 bytes=$(($2 << 30)) block=$((($2 << 30) / $1))
    [ "$available" -gt $((2 * $2 + 1)) ] || skip "$((2 * $2 + 1)) GiB of memory are needed"
    head -c "$2G" /dev/urandom >"$file"
    [ "$(stat -c %s "$file")" = "$bytes" ]
    limited jobs/launch -n "$ranks" scatter --input "$file" --show | tee "$BATS_TEST_TMPDIR/out"
    grep "^PASS: $bytes bytes of $file, each arrived exactly once on $ranks rank" \
        "$BATS_TEST_TMPDIR/out"
    awk -v file="$bytes" -v block="$block" '
        /^# peak memory: .* on the root$/        { root = $4 }
        /^# peak memory: at most .* other ranks/ { other = $6 }
        END { exit !(root > 0 && root * 1e6 < file + 64e6 && other * 1e6 < block + 64e6) }
    ' "$BATS_TEST_TMPDIR/out"
    rm -f "$file"
}

@test "1 GiB on 4 ranks" { scatter_file 4 1; }

@test "3 GiB on 1 rank: more bytes than an int counts" { scatter_file 1 3; }

@test "5 GiB on 2 ranks: a message of more bytes than an int counts" { scatter_file 2 5; }

@test "3 GiB on 7 ranks: neither the units nor the bytes divide" { scatter_file 7 3; }
