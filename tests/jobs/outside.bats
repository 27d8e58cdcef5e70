#!/usr/bin/env bats
#
# What comes from outside the scripts: numbers in the environment, hosts files, names, control
# characters, tools that are missing, a locale with a decimal comma. Nothing of it is run, written
# over, or computed with before it was checked.

bats_require_minimum_version 1.5.0
load machine

jobs=$(cd "$BATS_TEST_DIRNAME/../../jobs" && pwd)

setup() {
    tree "$BATS_TEST_TMPDIR/tree"
    cp -r "$jobs"/{doctor,checks,report,simulate,submit,platforms} "$root/jobs/"
    program mpi/collective/scatter local/thread/queue hybrid/stencil/stencil
    cd "$BATS_TEST_TMPDIR" || return
    evil="a[\$(:>$BATS_TEST_TMPDIR/run)]" # touch is not on every machine here
}

teardown() {
    [ ! -e "$BATS_TEST_TMPDIR/run" ] # what evil does
}

launch() { on_machine "$@" "$root/jobs/launch" --dry-run scatter; }

# A value that is none is told by name and status 2, by one line.
refused() { # NAME=VALUE...
    run --separate-stderr launch "$@"
    # shellcheck disable=SC2154
    echo "$*: $status $output $stderr"
    [ "$status" = 2 ]
    [[ $stderr == "launch: ${*: -1:1}"* || $stderr == "launch: ${1%%=*}='"*": set it right, or unset it" ]]
    [ "$(wc -l <<<"$stderr")" = 1 ]
}

@test "launch: numbers of Slurm and OpenMP that are none" {
    machine ompi4 SLURM_JOB_ID=7 'srun:pmix'
    local name value
    for name in SLURM_NTASKS SLURM_HET_SIZE SLURM_JOB_NUM_NODES SLURM_CPUS_PER_TASK \
        SLURM_TASKS_PER_NODE SLURM_JOB_CPUS_PER_NODE SLURM_JOB_END_TIME SLURM_ARRAY_TASK_ID \
        SLURM_NTASKS_PER_NODE SLURM_NTASKS_HET_GROUP_0 OMP_NUM_THREADS; do
        for value in "$evil" garbage -1 99999999999999999999 1.5; do
            refused "$name=$value"
        done
    done
    refused SLURM_HET_SIZE=1000000000
    refused SLURM_HET_SIZE=129
    refused SLURM_JOB_ID=../x
    refused SLURM_TASKS_PER_NODE='2(x3' SLURM_NTASKS=2
}

@test "launch: 08 is eight" {
    machine ompi4 SLURM_JOB_ID=7 srun:pmix
    run -0 --separate-stderr launch SLURM_NTASKS=08 SLURM_JOB_CPUS_PER_NODE='08(x010)' \
        SLURM_CPUS_PER_TASK=09 SLURM_TASKS_PER_NODE=08
    echo "$output"
    [[ $output == "LOCKSTEP_RANKS=8 OMP_NUM_THREADS=9 "*" -n 8 -c 9 "* ]]
    run -0 --separate-stderr launch OMP_NUM_THREADS=' 08,2'
    [[ $output == *--map-by*:PE=8* || $output == *"-c 8 "* ]]
    # more than a launcher can start
    run -2 launch SLURM_NTASKS=9999999 SLURM_HET_SIZE=2 SLURM_TASKS_PER_NODE_HET_GROUP_0=9999999 \
        SLURM_TASKS_PER_NODE_HET_GROUP_1=9999999
    [[ $output == "launch: 19999998 ranks, from the tasks of job 7: "* ]]
}

@test "bind: the number of the rank" {
    local value
    for value in "$evil" -1 1e3 99999999999999999999; do
        run -2 env OMPI_COMM_WORLD_LOCAL_RANK="$value" "$jobs/bind" '{0};{1}' true
        [[ $output == "bind: the launcher says "*" for the number of a rank: "* ]]
    done
    run -2 env OMPI_COMM_WORLD_LOCAL_RANK=08 "$jobs/bind" '{0};{1}' true
    [[ $output == "bind: rank 8 of this node has no place"* ]]
    run -0 env -u OMPI_COMM_WORLD_LOCAL_RANK SLURM_LOCALID=00 "$jobs/bind" "{0};{1}" printenv OMP_PLACES
    [ "$output" = '{0}' ]
}

@test "doctor: each number that is none is a FAIL that names it, and nothing else is printed" {
    machine ompi4
    real awk paste tr seq uniq cut mktemp rm find stat ls
    local name
    for name in SLURM_NTASKS SLURM_HET_SIZE SLURM_JOB_NUM_NODES SLURM_CPUS_PER_TASK \
        SRUN_CPUS_PER_TASK SLURM_TASKS_PER_NODE; do
        run -1 on_machine SLURM_JOB_ID=7 "$name=$evil" "$root/jobs/doctor" \
            --only slots,cpus-per-task,shm
        echo "$output"
        [[ $output == "FAIL  settings       $name='a[\$("*"> unset $name "* ]]
        [[ $output != *line\ [0-9]* && $output != *expected* ]]
    done
}

@test "studies: end of the job, task of the array, limit of a cell" {
    local name
    for name in SLURM_JOB_END_TIME SLURM_ARRAY_TASK_ID CELL_LIMIT SLURM_JOB_NUM_NODES; do
        run -2 env "$name=$evil" "$root/jobs/scaling.sh" --folder f
        [[ $output == "scaling.sh: $name='a["*": set it right, or unset it" ]]
        run -2 env PIPELINE_STAGE=measure "$name=$evil" "$root/jobs/pipeline.sh" f
    done
    run -2 env SLURM_ARRAY_TASK_ID='1e touch run' "$root/jobs/scaling.sh" --folder f
    run -2 env SLURM_ARRAY_TASK_ID=0 "$root/jobs/scaling.sh" --folder f
    [[ $output == "scaling: the table has no row 0: "* ]]
    run -2 env SLURM_ARRAY_TASK_ID=13 "$root/jobs/scaling.sh" --folder f
    run -2 env SLURM_ARRAY_TASK_ID=3 PIPELINE_STAGE=measure "$root/jobs/pipeline.sh" f
    [[ $output == "pipeline: there is no operation 3, the last is 2: "* ]]
    [ ! -e run ]
}

# A launch that notes its arguments as the record of a run.
# shellcheck disable=SC2016
noting_launch() {
    printf '%s\n' '#!/bin/bash' 'while [ $# -gt 0 ]; do' '[ "$1" != --output ] || file=$2' \
        'all+=" <$1>"; shift; done' \
        '[ -z "$file" ] || echo "{\"program\":\"stencil\",\"all\":\"$all\"}" >"$file"' \
        >"$root/jobs/launch"
}

@test "scaling: two rows never share a file, and no argument is a pattern" {
    command -v jq >/dev/null || skip "jq is missing: make deps check"
    noting_launch
    printf '%s\n' 'strong 1 1 1 --n 40 *' 'strong 1 1 1 --n 80' 'weak 1 1 1' 'strong 1 1 1 --n 80' \
        >table
    run env -u SLURM_JOB_ID "$root/jobs/scaling.sh" --table table --folder f
    echo "$output"
    [ "$(jq -r .cell f/cells.json | sort | paste -sd' ')" = \
        'strong-n1-r1-t1 strong-n1-r1-t1-2 strong-n1-r1-t1-3 weak-n1-r1-t1' ]
    [ "$(jq -s 'map(keys | length == (unique | length)) | all' f/cells.json)" = true ]
    grep -q '<--n> <40> <\*>' f/strong-n1-r1-t1.json
    grep -q '<--n> <80>' f/strong-n1-r1-t1-2.json
    # a task of the array writes the file of its own row
    rm f/strong-n1-r1-t1-3.json
    run -0 env SLURM_ARRAY_TASK_ID=4 "$root/jobs/scaling.sh" --table table --folder f
    grep -q '<--n> <80>' f/strong-n1-r1-t1-3.json
    local row
    for row in "strong $evil 1 1" 'strong 08 1 1' 'strong 1 99999999 1' 'strong 1 1' 'strong 1 1 0'; do
        echo "$row" >table
        run -2 "$root/jobs/scaling.sh" --table table --folder g
        [[ $output == "scaling: '$row' is no row: "* ]]
    done
}

@test "hosts: names and slots are checked, by launch and by doctor" {
    machine ompi4
    real awk paste tr seq uniq cut mktemp rm find stat ls
    local line
    # shellcheck disable=SC2016
    for line in '-oProxyCommand=touch_run' 'h1;touch${IFS}run' '$(touch run)' '[::1]:4' 'a/b' '.a' \
        'ä' 'a many' 'a 99999999999999999999' 'a 08' 'a 0'; do
        echo "$line" >hosts
        run -2 on_machine "$root/jobs/launch" --dry-run --hosts hosts scatter
        [[ $output == "launch: --hosts hosts: '"*": "* || $output == "launch: --hosts hosts: '"*" alone" ]]
        run -2 on_machine "$root/jobs/doctor" --hosts hosts --only hosts
        [[ $output == "doctor: --hosts hosts: '"* ]]
    done
    printf 'a_1.x-y 2 # two\r\nb:3\r\n\r\n#c\nd#e\na_1.x-y\nlast slots=4' >hosts
    run -0 --separate-stderr on_machine "$root/jobs/launch" --dry-run --hosts hosts scatter
    [[ $output == *" -n 11 --host a_1.x-y:3\\,b:3\\,d:1\\,last:4 "* ]]
}

@test "hosts: as many as there are, in time that grows as they do" {
    machine ompi4
    seq -f 'n%g' 12000 >hosts
    run -0 timeout 60 bash -c "$(declare -f on_machine); $(declare -p bin variables); on_machine \
        '$root/jobs/launch' --dry-run --hosts hosts scatter 2>&1 | tail -c 200"
    [[ $output == *n11999:1\\,n12000:1* ]]
    # what no launcher can be given in one word is told here
    seq -f 'node%g' 20000 >hosts
    run -2 timeout 60 env -i PATH="$bin" "$root/jobs/launch" --dry-run --hosts hosts scatter
    [[ $output == "launch: --hosts hosts: 20000 hosts make a word of "* ]]
    run -0 timeout 60 env -i PATH="$bin" "$root/jobs/launch" --dry-run --hosts hosts -N 2 scatter
}

@test "control characters of others do not reach the terminal" {
    local title=$'\e]0;title\a' bell=$'\a' c1=$'\302\2331m' text
    machine ompi4 SLURM_JOB_ID=7
    real awk paste tr seq uniq cut mktemp rm find stat ls
    clean() { ! LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' <<<"$1"; }
    printf 'x%s There are not enough slots available %s%s\r\0\n' "$title" "$bell" "$c1" >out
    run -1 on_machine "$root/jobs/doctor" out
    [[ $output == "FAIL  slots"*"not enough slots"* ]]
    clean "$output"
    run -0 on_machine OMPI_MCA_x="$title$c1" LOCKSTEP_LAUNCHER="x$title" "$root/jobs/launch" --dry-run scatter
    clean "$output"
    run -2 on_machine "$root/jobs/launch" --dry-run "no$title$c1"
    clean "$output"
    # one line of text, as JSON too
    # shellcheck disable=SC2016
    text=$(bash -c '. "$0/lib/outside.bash"; . "$0/lib/json.bash"; json_text "$1"' "$jobs" \
        "é \"a\" \\ $title$c1  ")
    [ "$text" = '"é \"a\" \\  ]0;title  1m"' ]
}

@test "a program is not run to see what it is linked to" {
    command -v gcc >/dev/null || skip "gcc is missing: make deps run"
    machine ompi4
    ln -sf "$(command -v readelf)" "$bin/readelf"
    rm "$bin/ld.so"
    script ldd ": >$BATS_TEST_TMPDIR/run"
    local name
    mkdir lib
    echo 'int MPI_Init(void) { return 0; }' >mpi.c
    echo 'int MPI_Init(void); int deep(void) { return MPI_Init(); }' >deep.c
    echo 'int MPI_Init(void); int main(void) { return MPI_Init(); }' >main.c
    echo 'int deep(void); int main(void) { return deep(); }' >main2.c
    gcc -shared -fPIC -Wl,-soname,libmpi.so.40 -o lib/libmpi.so.40 mpi.c
    ln -s libmpi.so.40 lib/libmpi.so
    gcc -shared -fPIC -Wl,-soname,libdeep.so -o lib/libdeep.so deep.c -Llib -lmpi
    gcc -o direct main.c -Llib -lmpi -Wl,-rpath,"$PWD/lib"
    gcc -o indirect main2.c -Llib -ldeep -Wl,--as-needed -Wl,-rpath-link,lib -Wl,-rpath,"$PWD/lib" \
        -Wl,--disable-new-dtags
    # a loader of its own, which is what ldd may start
    printf '#!/bin/sh\n: >%s/run\n' "$BATS_TEST_TMPDIR" >loader
    chmod +x loader
    gcc -o trap main.c -Llib -lmpi -Wl,-rpath,"$PWD/lib" -Wl,--dynamic-linker="$PWD/loader"
    for name in direct indirect trap; do
        run -0 --separate-stderr on_machine "$root/jobs/launch" --dry-run -n 2 "./$name"
        echo "$name: $output"
        [[ $output == *"mpirun -n 2 "* ]]
    done
    rm "$bin/readelf" # then the loader alone
    run -0 --separate-stderr on_machine "$root/jobs/launch" --dry-run -n 2 ./direct
    [[ $output == *"mpirun -n 2 "* ]]
    # and the doctor sees a library that is gone
    rm lib/libdeep.so
    mkdir -p "$root/build/mpi/p2p"
    cp indirect "$root/build/mpi/p2p/hello"
    real awk paste tr seq uniq cut mktemp rm find stat ls
    run -1 on_machine "$root/jobs/doctor" --only built
    [[ $output == "FAIL  built"*"does not find libdeep.so"*"> module load"* ]]
}

@test "a tool that is missing is named, by each script that needs it" {
    machine ompi4
    real awk paste tr seq uniq cut rm find stat ls date tail mkdir basename sort xargs cp
    run -77 on_machine "$root/jobs/doctor" --only slots
    [[ $output == "doctor: missing here: mktemp: install "* ]]
    ln -s "$(command -v mktemp)" "$bin"
    rm "$bin/cat"
    run -77 on_machine "$root/jobs/scaling.sh" --folder f
    [[ $output == "scaling.sh: missing here: cat: "* ]]
    rm "$bin/mkdir"
    mkdir -p "$root/local/thread" && touch "$root/local/thread/new.c" "$root/Makefile"
    ln -s "$(command -v cat)" "$bin"
    run -77 on_machine "$root/jobs/launch" --make new
    [[ $output == "launch: missing here: "*"mkdir"*": "* ]]
    rm "$bin/sort"
    mkdir f
    local script
    for script in "report f" "submit scatter" "simulate scatter" "launch scatter"; do
        # shellcheck disable=SC2086
        run -77 on_machine "$root/jobs/"$script
        echo "$script: $output"
        [[ $script == simulate* || $output == "${script% *}: missing here: "*sort*": install "* ]]
    done
}

# ---- a locale with a decimal comma

comma() { # makes one, and sets LC_ALL to it
    export LOCPATH=$BATS_TEST_TMPDIR/locales
    mkdir "$LOCPATH"
    localedef -c -i de_DE -f UTF-8 "$LOCPATH/de_DE.UTF-8" >/dev/null 2>&1 ||
        [ -e "$LOCPATH/de_DE.UTF-8/LC_NUMERIC" ] || skip "localedef makes no de_DE.UTF-8: make deps check"
    [ "$(LC_ALL=de_DE.UTF-8 bash -c 'printf %.1f 1,5')" = 1,5 ]
}

same() { # COMMAND...: prints the same with a comma as with a point; sets output
    local point
    run -0 --separate-stderr env LC_ALL=C "$@"
    point=$output
    run -0 --separate-stderr env LC_ALL=de_DE.UTF-8 "$@"
    [ "$output" = "$point" ] || { printf '%s\n' "$point" "$output" && return 1; }
    run -0 --separate-stderr env -u LC_ALL LANG=de_DE.UTF-8 LC_NUMERIC=de_DE.UTF-8 "$@"
    [ "$output" = "$point" ] || { printf '%s\n' "$point" "$output" && return 1; }
}

@test "decimal comma: a study's seconds, the report, and what bench computes" {
    comma
    command -v jq >/dev/null || skip "jq is missing: make deps check"
    noting_launch
    mkdir 'ä folder'
    echo 'strong 1 1 1 --n 40' >table
    env -u SLURM_JOB_ID LC_ALL=de_DE.UTF-8 "$root/jobs/scaling.sh" --table table \
        --folder 'ä folder' >out 2>&1 || :
    [ "$(jq -r '.seconds | type' 'ä folder/cells.json')" = number ]
    jq -nc '{program: "p", ranks: 2, n: 5, verified: true, median_s: 1.5, ci_low_s: 1.4,
        ci_high_s: 1.6}' >'ä folder/p.json'
    rm 'ä folder/cells.json'
    same "$root/jobs/report" --output out.d 'ä folder'
    [[ $output == *"1.500 s"* ]]
    cd "$BATS_TEST_DIRNAME/../.."
    # shellcheck disable=SC2016
    same bash -c '. tests/bench/ratios.bash
        for i in 1 2 3 4 5 6 7; do echo "x 1.$i 2.5"; done | ratios us ours theirs'
    [[ $output == *" 1.4 "*" 2.5 "*" 0.560 "* ]]
}

@test "decimal comma: simulate" {
    comma
    cd "$BATS_TEST_DIRNAME/../.."
    command -v smpirun >/dev/null || skip "smpirun is missing: make deps simulate"
    [ -x build-sim/mpi/collective/bcast ] || skip "bcast is not built for SimGrid: make MPI=sim"
    same timeout 100 jobs/simulate -n 2:4 bcast --bytes 64K --algorithm linear,binomial
    [[ $output == *binomial*[0-9].[0-9]* ]]
}

@test "launch hands the caller's locale on to the program" {
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$LC_ALL ${LC_NUMERIC-none} $LANG"\n' >"$root/build/local/thread/queue"
    run -0 --separate-stderr env -u LC_NUMERIC LC_ALL=C.UTF-8 LANG=C "$root/jobs/launch" queue
    [ "$output" = "C.UTF-8 none C" ]
    run -0 --separate-stderr env -u LC_ALL LC_NUMERIC=C.UTF-8 LANG=C "$root/jobs/launch" queue
    [ "$output" = " C.UTF-8 C" ]
}

@test "every script comes in through the door" {
    local file
    cd "$BATS_TEST_DIRNAME/../.."
    for file in jobs/{launch,doctor,submit,report,simulate} jobs/lib/cells.bash tests/bench/*; do
        [[ $file != *.c ]] || continue
        grep -qE '^\. .*(outside|ratios)\.bash"?$' "$file" || { echo "$file does not" && return 1; }
    done
    # all others in jobs/ are bind, and job scripts that call launch or source cells.bash
    for file in jobs/*.sh; do
        [[ $file != */site*.sh ]] || continue
        # shellcheck disable=SC2016
        grep -qE '^(exec )?"\$jobs/launch"|^\. "\$jobs/lib/cells.bash"' "$file" ||
            { echo "$file does not" && return 1; }
    done
}

@test "nodes: the names that the controller gives" {
    noting_launch
    machine SLURM_JOB_ID=7 SLURM_JOB_NODELIST=x
    real awk cat date grep mkdir paste rm sort tail tr
    script scontrol 'echo "a/../b"'
    run -2 on_machine "$root/jobs/nodes.sh" f
    [[ $output == "nodes: a/../b is no name of a node" ]]
}

# ---- simulate

@test "simulate: no name or argument reaches gnuplot, smpirun or a pattern as more than text" {
    local words
    while read -r words; do
        # shellcheck disable=SC2086
        run -2 "$root/jobs/simulate" $words
        [[ $output == "simulate: "*": "* ]]
    done <<'END'
-n 08 bcast
-n 99999999999999999999 bcast
-n 1:2:3 bcast
-n a[$(touch${IFS}run)] bcast
-r 0 bcast
-s x;y bcast
bcast --count *
bcast --cfg=smpi/tmpdir:x
END
    run -2 "$root/jobs/simulate" bcast --count '1 2'
    [[ $output == "simulate: argument '1 2': smpirun cannot hand it on: "* ]]
    cd "$BATS_TEST_DIRNAME/../.."
    command -v smpirun >/dev/null || skip "smpirun is missing: make deps simulate"
    run -2 jobs/simulate 'bcas.'
    [ -x build-sim/mpi/collective/bcast ] || skip "bcast is not built for SimGrid: make MPI=sim"
    command -v gnuplot >/dev/null || skip "gnuplot is missing: make deps simulate"
    local here=$BATS_TEST_TMPDIR name platform
    platform="$here/x\`touch run5\`'\"y.xml"
    cp jobs/platforms/fat-tree.xml "$platform"
    for name in "a\`touch run1\`.svg" 'b"; system("touch run2"); set output "b2.svg' "c'd.svg"; do
        run -0 timeout 100 jobs/simulate -n 2:4 -p "$platform" --plot "$here/$name" bcast --bytes 8
        [ -s "$here/$name" ]
    done
    grep -q "x\`touch run5\`'" "$here/c'd.svg"
    run -1 compgen -G "run[0-9]"
    run -1 compgen -G "$here/run*"
}

@test "simulate: TMPDIR with a blank" {
    cd "$BATS_TEST_DIRNAME/../.."
    command -v smpirun >/dev/null || skip "smpirun is missing: make deps simulate"
    [ -x build-sim/mpi/collective/bcast ] || skip "bcast is not built for SimGrid: make MPI=sim"
    mkdir "$BATS_TEST_TMPDIR/a b"
    TMPDIR="$BATS_TEST_TMPDIR/a b" run -0 timeout 100 jobs/simulate -n 2 bcast --bytes 8
    [[ $output == *PASS* ]]
}
