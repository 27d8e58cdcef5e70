#!/usr/bin/env bats
# Every command of README.md runs as it stands there. A line's status is 0 unless `# status S`
# follows. What installs packages or runs the tests again is only looked at (make -n); what
# submits to Slurm is run by tests/cluster/slurm.bats.

load ../wait

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || exit
    commands=$(sed -n '/^```console/,/^```/s/^\$ //p' README.md)
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # as README says, for root
}

@test "the commands of README.md" {
    [ "$(wc -l <<<"$commands")" -ge 10 ]
    while IFS= read -r line; do
        case $line in
        sbatch*) continue ;;
        "make deps "*) line=${line/make/make -n} ;;
        esac
        wanted=0
        [[ $line =~ \#\ status\ ([0-9]+)$ ]] && wanted=${BASH_REMATCH[1]}
        echo "$ $line"
        status=0
        # `export` lines hold for those that follow.
        if [[ $line = export* ]]; then
            eval "$line"
        else
            limited bash -c "$line" </dev/null || status=$?
        fi
        [ "$status" = "$wanted" ]
    done <<<"$commands"
}

@test "README's first run is what a run prints" {
    [ -x build/mpi/collective/scatter ] || skip "there is no MPI here"
    shown=$(sed -n '/^```console/,/^```/p' README.md | sed -n '/--show"$/,/^```/p' |
        grep -E '^(before|after|PASS|# 10)')
    printed=$(make -s run P=scatter N=4 ARGS="--count 10 --show" 2>/dev/null |
        grep -E '^(before|after|PASS|# 10)')
    [ -n "$printed" ]
    diff <(echo "$shown") <(echo "$printed")
}

@test "files that README names are there" {
    grep -oE '\]\([^)#]+\)|`[a-z]+/[a-z0-9_./]+[a-z]`' README.md | tr -d '`]()' | grep -v '^build/' |
        while read -r file; do
            [ -e "$file" ] || [ -e "${file%% *}" ] || case $file in
            layer/* | jobs/site.sh | thread/*) ;;
            *) echo "$file is not there" && exit 1 ;;
            esac
        done
}
