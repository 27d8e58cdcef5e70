#!/usr/bin/env bats
#
# Every script of jobs/: clean, free of what belongs to one site, and able to find its tree.

bats_require_minimum_version 1.5.0
load machine

jobs=$(cd "$BATS_TEST_DIRNAME/../../jobs" && pwd)

scripts() { # the shell scripts of jobs/, whatever their names
    local file
    for file in "$jobs"/* "$jobs"/lib/*; do
        [[ -f $file && ${file##*/} != site.sh ]] || continue
        if head -n 1 "$file" | grep -qE '^#!.*(ba)?sh|shellcheck shell='; then echo "$file"; fi
    done
}

batch_scripts() { scripts | tr '\n' '\0' | xargs -0 grep -l '^#SBATCH'; }

@test "bash -n, shellcheck" {
    [ "$(scripts | wc -l)" -ge 25 ]
    scripts | while read -r file; do bash -n "$file" || exit 1; done
    command -v shellcheck >/dev/null || skip "there is no shellcheck"
    cd "$jobs/.." # `source=` comments are relative to it
    scripts | tr '\n' '\0' | xargs -0 -P2 -n2 shellcheck -x
    # bats runs each test in a subshell, as meant, and reads variables that load and run set.
    shellcheck -e SC2030,SC2031,SC2154 "$BATS_TEST_DIRNAME"/{machine.bash,*.bats}
}

@test "a head comment that names the script; #SBATCH lines that it takes no site to understand" {
    batch_scripts | while read -r file; do
        name=$(basename "$file" .sh)
        sed -n 3p "$file" | grep -q "^# $name - [a-z]" || { echo "$file: no head" && exit 1; }
        for word in "--job-name=$name" --time= --output=%x-%j.out; do
            grep -q "^#SBATCH $word" "$file" || { echo "$file: no $word" && exit 1; }
        done
        grep -qE "^#     (sbatch .*)?jobs/$name.sh" "$file" || { echo "$file: no example" && exit 1; }
    done
}

@test "every script finds its tree in the same way" {
    local first
    first=$(finder "$jobs/scatter.sh")
    [ "$(wc -l <<<"$first")" = 6 ]
    batch_scripts | while read -r file; do
        [ "$(finder "$file")" = "$first" ] || { echo "$file differs from scatter.sh" && exit 1; }
    done
}

finder() { sed -n '/^# Slurm runs a copy/,/^$/p' "$1"; }

@test "executable, no CRLF, no line past 100 columns" {
    [ -x "$jobs/launch" ]
    batch_scripts | while read -r file; do [ -x "$file" ] || exit 1; done
    run grep -rl $'\r' "$jobs"
    [ "$status" = 1 ]
    run find "$jobs" -type f ! -name messages -exec awk 'length > 100 { print FILENAME ": " FNR }' {} +
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
    [[ $output == *"at <$1/jobs> with <--make> <scatter>"* ]]
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
    cd "$root"
    found "$root" bash jobs/scatter.sh
    cd jobs
    found "$root" bash scatter.sh "x y" --z
    [[ $output == *"with <--make> <scatter> <x y> <--z>" ]]
    cd ../..
    found "$root" env CDPATH="$PWD" "the  tree/jobs/scatter.sh"
}

@test "sbatch: a copy in the spool, blanks in the path, arguments, arrays" {
    controller "$root/jobs/scatter.sh"
    found "$root" bash "$spool/slurm_script"
    controller "$root/jobs/scatter.sh" --count "10 x" /etc/passwd
    found "$root" bash "$spool/slurm_script" --count "10 x" /etc/passwd
    [[ $output == *"with <--make> <scatter> <--count> <10 x> </etc/passwd>" ]]
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

# ---- the site file

@test "the example of a site file is only an example: it sets nothing" {
    run env -i bash -c "before=\$(set | grep -E '^(S|L|O|I)[A-Z_]*='); . '$jobs/site.example.sh'
        [ \"\$before\" = \"\$(set | grep -E '^(S|L|O|I)[A-Z_]*=')\" ]"
    [ "$status" = 0 ]
    # and every line in it, taken out of its comment, is shell
    sed -nE 's/^# (:|module)/\1/p' "$jobs/site.example.sh" | bash -n
    [ "$(grep -cE '^# : ' "$jobs/site.example.sh")" -ge 10 ]
}

# A fake sbatch that knows the partition debug and the account abc, at most 4 nodes.
slurm() {
    # shellcheck disable=SC2016
    script sbatch 'p=${SBATCH_PARTITION:-debug} a=$SBATCH_ACCOUNT n=1 test=
        for word; do
            case $word in
                --partition=*) p=${word#*=} ;; --account=*) a=${word#*=} ;;
                --nodes=*) n=${word#*=} ;; --test-only) test=yes ;;
            esac
        done
        [ "$p" = debug ] || { echo "sbatch: error: invalid partition specified: $p
sbatch: error: Batch job submission failed: Invalid partition name specified"; exit 1; } >&2
        [ "$a" = abc ] || { echo "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"; exit 1; } >&2
        [ "$n" -le 4 ] || { echo "allocation failure: Requested node configuration is not available"; exit 1; } >&2
        [ -n "$test" ] || { echo "41;cluster"; echo "$*" >&2; }'
    # shellcheck disable=SC2016
    script sinfo 'case $2 in %R) echo debug ;; *) echo "debug 4 nodes of 8 CPUs and 1 MB;" ;; esac'
    script sacctmgr 'echo abc'
    ln -s "$(command -v tr)" "$(command -v paste)" "$(command -v basename)" "$bin"
}

@test "submit: command line, then environment, then site file" {
    cp "$jobs/submit" "$root/jobs"
    # shellcheck disable=SC2016
    printf '%s\n' ': "${SBATCH_ACCOUNT:=abc}"' ': "${SBATCH_QOS:=long}"' >"$root/jobs/site.sh"
    machine SBATCH_QOS=short
    slurm
    run on_machine "$root/jobs/submit" --nodes=2 -c 4 scatter --count "1 0"
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"# SBATCH_ACCOUNT=abc (site file $root/jobs/site.sh)"* ]]
    [[ $output == *"# SBATCH_QOS=short (environment)"* ]]
    [[ $output == *"--nodes=2 -c 4 "*scatter.sh" --count 1\\ 0"* ]]
    [[ $output == *"job 41 is submitted"* ]]
    run on_machine "$root/jobs/submit" --nodes 2 --exclusive scatter
    echo "$output"
    [[ $status = 0 && $output == *"--nodes 2 --exclusive "*scatter.sh* ]]
    # another site file, and a job script of one's own
    echo 'export SBATCH_ACCOUNT=xyz' >"$BATS_TEST_TMPDIR/other site"
    run on_machine LOCKSTEP_SITE="$BATS_TEST_TMPDIR/other site" "$root/jobs/submit" --account=abc \
        --dry-run "$root/jobs/gather.sh"
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"SBATCH_ACCOUNT=xyz (site file $BATS_TEST_TMPDIR/other site)"* ]]
    [[ $output != *submitted* ]]
}

@test "submit: what Slurm refuses is one sentence with a cure, and status 2" {
    cp "$jobs/submit" "$root/jobs"
    machine
    slurm
    local words want
    while IFS='|' read -r words want; do
        # shellcheck disable=SC2086
        run on_machine SBATCH_ACCOUNT=abc "$root/jobs/submit" $words
        echo "$words: $output"
        [ "$status" = 2 ]
        [ ${#lines[@]} = 1 ]
        # shellcheck disable=SC2053
        [[ $output == "submit: "*": "* && $output == $want ]]
    done <<'END'
--partition=gpu scatter|*invalid partition specified: gpu: partitions here: debug
--account=wrong scatter|*Invalid account*SBATCH_ACCOUNT in site.sh (abc)
--nodes=99 scatter|*node configuration is not available: the largest here: debug 4 nodes of 8 CPUs*
no_such_job|*no job is called no_such_job: choose one of affinity *threads
-N|*-N: its value is missing*
--nodes|*--nodes: its value is missing*
|*no job is named*
END
    rm "$bin/sbatch"
    run on_machine "$root/jobs/submit" scatter
    [ "$status" = 77 ]
    [[ $output == "submit: there is no sbatch here: run it on this machine: "*scatter.sh ]]
}

@test "a site file that cannot be read, or is no shell, stops launch and submit" {
    cp "$jobs/submit" "$root/jobs"
    cp "$jobs/launch" "$root/jobs"
    program mpi/collective/scatter
    machine ompi4 LOCKSTEP_SITE=/no/such/file
    run on_machine "$root/jobs/launch" --dry-run scatter
    [ "$status" = 2 ]
    [[ $output == "launch: /no/such/file cannot be read: "* ]]
    machine ompi4
    echo 'if then' >"$root/jobs/site.sh"
    run on_machine "$root/jobs/submit" scatter
    [ "$status" = 2 ]
    [[ $output == *"submit: $root/jobs/site.sh is no shell script"* ]]
}
