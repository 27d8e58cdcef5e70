#!/usr/bin/env bats
#
# Every script of jobs/: clean, free of what belongs to one site, and able to find its tree.

bats_require_minimum_version 1.5.0
load machine

jobs=$BATS_TEST_DIRNAME/../../jobs

scripts() { # the shell scripts of jobs/, whatever their names
    local file
    for file in "$jobs"/*; do
        [ "${file##*/}" = site.sh ] && continue
        if head -n 1 "$file" | grep -qE '^#!.*(ba)?sh|shellcheck shell='; then echo "$file"; fi
    done
}

batch_scripts() { scripts | tr '\n' '\0' | xargs -0 grep -l '^#SBATCH'; }

@test "bash -n, shellcheck" {
    [ "$(scripts | wc -l)" -ge 3 ]
    scripts | while read -r file; do bash -n "$file" || exit 1; done
    command -v shellcheck >/dev/null || skip "there is no shellcheck"
    scripts | tr '\n' '\0' | xargs -0 timeout 60 shellcheck
    # bats runs each test in a subshell, as meant, and reads variables that load and run set.
    timeout 60 shellcheck -e SC2030,SC2031,SC2154 "$BATS_TEST_DIRNAME"/{machine.bash,*.bats}
}

@test "executable, no CRLF, no line past 100 columns" {
    [ -x "$jobs/launch" ]
    batch_scripts | while read -r file; do [ -x "$file" ] || exit 1; done
    run grep -rl $'\r' "$jobs"
    [ "$status" = 1 ]
    run find "$jobs" -type f -exec awk 'length > 100 { print FILENAME ": " FNR }' {} +
    [ -z "$output" ]
}

@test "#SBATCH: before the first command, no variable, no account, no partition, no directory" {
    batch_scripts | while read -r file; do
        awk -v file="$file" '
            /^#SBATCH/ && late { print file ": " FNR ": after a command: " $0; bad = 1 }
            /^#SBATCH.*[$]/ { print file ": " FNR ": is not expanded: " $0; bad = 1 }
            /^#SBATCH.*( -A|--account| -p |--partition| -o *[^ ]*\/|--output=[^ ]*\/)/ {
                print file ": " FNR ": belongs to one site: " $0; bad = 1 }
            !/^#/ && NF { late = 1 }
            END { exit bad }' "$file" || exit 1
    done
}

# ---- the root finder: jobs/scatter.sh in a tree whose launch only tells where it is

found() { # DIRECTORY: what the launch below it is expected to say
    run on_machine "${@:2}"
    [ "$status" = 3 ]
    [[ $output == *"at <$1/jobs> with <scatter>"* ]]
}

setup() {
    tree "$BATS_TEST_TMPDIR/a b/the  tree"
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/bash' 'echo "at <$(cd "$(dirname "$0")" && pwd)> with$(printf " <%s>" "$@")"' \
        'exit 3' >"$root/jobs/launch"
    spool=$BATS_TEST_TMPDIR/spool/job00007
    mkdir -p "$spool"
    cp "$root/jobs/scatter.sh" "$spool/slurm_script"
}

# scontrol answers as Slurm does: other lines around, the path and arguments unquoted.
controller() { # COMMAND...
    machine SLURM_JOB_ID=7
    script scontrol "[ \"\$*\" = 'show job 7' ] && printf '%s\n' 'JobId=7 JobName=scatter' \
        '   Partition=debug' '   Command=$*' '   WorkDir=/somewhere' '' 'JobId=8' '   Command=/other'"
}

@test "plain bash: from any directory, by any path" {
    machine
    found "$root" "$root/jobs/scatter.sh"
    [[ $output == *"# job none on "*", commit "* ]]
    cd "$root"
    found "$root" bash jobs/scatter.sh
    cd jobs
    found "$root" bash scatter.sh "x y" --z
    [[ $output == *"with <scatter> <x y> <--z>" ]]
    cd ../..
    found "$root" env CDPATH="$PWD" "the  tree/jobs/scatter.sh"
}

@test "sbatch: a copy in the spool, blanks in the path, arguments, arrays" {
    controller "$root/jobs/scatter.sh"
    found "$root" bash "$spool/slurm_script"
    [[ $output == *"# job 7 on "* ]]
    controller "$root/jobs/scatter.sh" --count "10 x" /etc/passwd
    found "$root" bash "$spool/slurm_script" --count "10 x" /etc/passwd
    [[ $output == *"with <scatter> <--count> <10 x> </etc/passwd>" ]]
    found "$root" env SLURM_ARRAY_JOB_ID=6 SLURM_ARRAY_TASK_ID=1 bash "$spool/slurm_script"
}

@test "salloc: the file itself runs, nobody is asked" {
    machine SLURM_JOB_ID=7
    script scontrol "echo asked >&2; exit 1"
    found "$root" "$root/jobs/scatter.sh"
    [[ $output != *asked* ]]
}

@test "sbatch --wrap or no answer: the directory of submission; LOCKSTEP_ROOT wins" {
    controller "(null)"
    found "$root" env SLURM_SUBMIT_DIR="$root" bash "$spool/slurm_script"
    script scontrol "exit 1"
    found "$root" env SLURM_SUBMIT_DIR="$root" bash "$spool/slurm_script"
    found "$root" env SLURM_SUBMIT_DIR=/nowhere LOCKSTEP_ROOT="$root" bash "$spool/slurm_script"
}

@test "the example of a site file is only an example: it sets nothing" {
    run env -i bash -c "before=\$(set | grep -E '^(S|L|O|I)[A-Z_]*='); . '$jobs/site.example.sh'
        [ \"\$before\" = \"\$(set | grep -E '^(S|L|O|I)[A-Z_]*=')\" ]"
    [ "$status" = 0 ]
    # and every line in it, taken out of its comment, is shell
    sed -nE 's/^# (export|module)/\1/p' "$jobs/site.example.sh" | bash -n
    [ "$(grep -cE '^# export' "$jobs/site.example.sh")" -ge 10 ]
}
