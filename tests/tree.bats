#!/usr/bin/env bats
# The tree is the architecture: what docs/design.md says of it, checked.

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
}

programs() {
    ls local/*/*.c mpi/*/*.c hybrid/*/*.c | grep -v '/lib/'
}

none() { # none WHAT: what comes in are the offenders; there must be none
    local found
    found=$(cat)
    [ -z "$found" ] || {
        printf '%s:\n%s\n' "$1" "$found"
        return 1
    }
}

# The includes of our own files, as "FILE INCLUDED".
includes() {
    grep -rHoE '^#include "[^"]+"' --include='*.[ch]' local mpi hybrid |
        sed -E 's/^([^:]*):#include "([^"]+)"/\1 \2/'
}

@test "dependencies run one way: local/lib <- mpi/lib <- hybrid/lib" {
    includes | awk '
        { layer = $1; sub(/\/.*/, "", layer); used = $2; sub(/\/.*/, "", used) }
        layer == "local" && used != "local"  { print }
        layer == "mpi"   && used == "hybrid" { print }
    ' | none "included from a higher layer"
}

@test "includes are written from the root, and name libraries alone" {
    includes | awk '$2 !~ /^(local|mpi|hybrid)\/lib\//' | none "no library, or not from the root"
}

@test "libraries of local/ use no MPI, hwloc or OpenMP" {
    grep -nE '<(mpi|hwloc|omp)\.h>' -r local/lib | none "in the wrong layer"
    grep -nE '<(hwloc|omp)\.h>' -r mpi | none "in the wrong layer"
}

@test "every .c in a topic is a program, and topics have no headers" {
    find local mpi hybrid -name '*.h' -not -path '*/lib/*' -not -path 'mpi/lens/*' |
        none "a header outside lib"
    programs | while read -r file; do
        grep -qE '^int main\(' "$file" || echo "$file"
    done | none "no main"
}

@test "head comments: a name and a line of what it does, Run, Test" {
    programs | while read -r file; do
        name=$(basename "$file" .c)
        head=$(sed '/ \*\//q' "$file")
        [ "$(head -n 1 <<<"$head")" = '/*' ] || echo "$file: does not begin with its head comment"
        sed -n 2p <<<"$head" | grep -qE "^ \* $name - [a-z].{10,}[^.]$" ||
            echo "$file: line 2 is not ' * $name - what it does'"
        grep -qE '^ \* Run: ' <<<"$head" || echo "$file: no Run: line"
        grep -qE '^ \* Try: ' <<<"$head" || echo "$file: no Try: line"
        grep -qE '^ \* Test(\([0-9]+\))?:' <<<"$head" || echo "$file: no Test: line"
        grep -E '^ \* Test' <<<"$head" | grep -vE '^ \* Test(\([0-9]+\))?:( |$)'
    done | none "head comments"
}

@test "three levels, and nothing new at the top" {
    git rev-parse --git-dir >/dev/null 2>&1 || skip "not a git checkout"
    git ls-files | sed 's|/.*||' | sort -u |
        grep -vxE 'mpi|hybrid|local|jobs|tests|docs|Makefile|README\.md|LICENSE|\..*' |
        none "at the top level"
    git ls-files local mpi hybrid | grep -vE '^[a-z]+/[a-z0-9_]+/[a-z0-9_]+\.[ch]$' |
        grep -vE '^mpi/(lib/coll|lens)/' | none "not layer/topic/program.c"
}

@test "make list has every program" {
    list=$(make -s list)
    [ "$(wc -l <<<"$list")" = "$(programs | wc -l)" ] || skip "topics are left out here"
    programs | while read -r file; do
        grep -q "^${file%.c}	" <<<"$list" || echo "$file"
    done | none "not in make list"
}
