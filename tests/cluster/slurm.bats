#!/usr/bin/env bats
# The job scripts on a private Slurm cluster of four nodes, and the cluster itself.

# shellcheck disable=SC2154  # session.bash sets job, state and exit_code
# shellcheck disable=SC2031  # one test of these sets LOCKSTEP_BUILD for itself

load session

setup_file() {
    build_hello
    session_start slurm --nodes 4
}

setup() {
    session_setup
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
}

teardown_file() {
    session_stop
}

need_scatter() {
    need_program jobs/scatter.sh
    need_program "$LOCKSTEP_BUILD/mpi/collective/scatter"
}

# The last run_job ended well: RANKS ranks on NODES nodes, a verdict, and a launch line.
completed() {
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    passed "$@"
}

# passed RANKS NODES: of $output
passed() {
    [[ $output == *"# launch: "* ]]
    [[ $output == *" $1 rank"*" on $2 node"* ]]
    [[ $'\n'$output == *$'\n'PASS* ]]
}

# ---- the cluster ----

@test "four nodes with names, addresses and /dev/shm of their own" {
    # shellcheck disable=SC2016  # expanded on the nodes
    run in_session srun --label -N 4 sh -c 'hostname; ip -brief -4 address show eth0; ls /dev/shm'
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -o '^[0-3]: n[1-4]$' <<<"$output" | sort | xargs)" = "0: n1 1: n2 2: n3 3: n4" ]
    [ "$(grep -o '10\.77\.0\.[0-9]*' <<<"$output" | sort | xargs)" \
        = "10.77.0.1 10.77.0.2 10.77.0.3 10.77.0.4" ]
}

@test "tasks get the CPUs of the described topology" {
    run in_session srun -N 1 -n 4 -c 2 --cpu-bind=verbose true
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -o 'mask 0x[0-9a-f]*' <<<"$output" | sort | xargs)" \
        = "mask 0x3 mask 0x30 mask 0xc mask 0xc0" ]
}

@test "Open MPI under srun: ranks on different nodes share no memory" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    run in_session srun -N 4 --ntasks-per-node=2 --mpi=pmix "$BATS_FILE_TMPDIR/hello-openmpi"
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c ' of 8 host n[1-4] shares 2 ' <<<"$output")" = 8 ]
}

@test "mpirun in an allocation needs no option, not even for root" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    run in_session salloc -N 2 --ntasks-per-node=2 mpirun.openmpi "$BATS_FILE_TMPDIR/hello-openmpi"
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c ' of 4 host n[1-4] shares 2 ' <<<"$output")" = 4 ]
}

# ---- the main job ----

@test "sbatch jobs/scatter.sh needs no other option" {
    need_scatter
    run_job jobs/scatter.sh --count 1000
    completed 8 4
    [[ $output == *n[[]1-4]* ]] # the nodes
    [[ $(tail -n 1 <<<"$output") == PASS* ]]
}

@test "sbatch jobs/scatter.sh with MPICH" {
    # shellcheck disable=SC2030,SC2031  # a test is a subshell: meant for this one alone
    export LOCKSTEP_BUILD=build-mpich
    need_scatter
    run_mpich_job jobs/scatter.sh --count 1000
    completed 8 4
}

@test "the job's exit status is the program's" {
    need_scatter
    run_job jobs/scatter.sh --count 10x
    [ "$state $exit_code" = "FAILED 2:0" ]
    run_job jobs/scatter.sh --count 1001 --fault drop
    [ "$state $exit_code" = "FAILED 1:0" ]
}

@test "nodes and tasks can be chosen on the command line" {
    need_scatter
    run_job --nodes=2 --ntasks-per-node=1 jobs/scatter.sh
    completed 2 2
    run_job -N 3 --ntasks-per-node=1 jobs/scatter.sh --count 10
    completed 3 3
}

@test "from another directory" {
    need_scatter
    local root=$PWD
    cd "$BATS_TEST_TMPDIR"
    run_job "$root/jobs/scatter.sh"
    completed 8 4
}

@test "from a path with blanks, with arguments that have blanks" {
    need_scatter
    local copy="$BATS_TEST_TMPDIR/a copy of it"
    mkdir "$copy"
    cp -r jobs "$copy"
    [[ $LOCKSTEP_BUILD == /* ]] || ln -s "$PWD/$LOCKSTEP_BUILD" "$copy/$LOCKSTEP_BUILD"
    run_job "$copy/jobs/scatter.sh"
    completed 8 4
    # the quoted launch line shows the program of the copy, not one found by chance
    [[ $output == *"copy\\ of\\ it/$LOCKSTEP_BUILD"* || $LOCKSTEP_BUILD == /* ]]
    run_job "$copy/jobs/scatter.sh" --output "$BATS_TEST_TMPDIR/a table"
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    [ -s "$BATS_TEST_TMPDIR/a table" ]
}

@test "in an allocation of salloc" {
    need_scatter
    run in_session salloc -N 2 --ntasks-per-node=2 jobs/scatter.sh
    echo "$output"
    [ "$status" = 0 ]
    passed 4 2
    run in_session salloc -N 2 --ntasks-per-node=2 jobs/scatter.sh --count 10x
    [ "$status" = 2 ]
}

@test "as an array" {
    need_scatter
    submit_job --array=1-2 --output="$BATS_TEST_TMPDIR/%A_%a.out" -N 2 jobs/scatter.sh
    until_true array_is_done
    run in_session scontrol --oneliner show job "$job"
    echo "$output"
    [ "$(grep -c 'JobState=COMPLETED .*ExitCode=0:0' <<<"$output")" = 2 ]
    local task
    for task in 1 2; do
        output=$(cat "$BATS_TEST_TMPDIR/${job}_$task.out")
        echo "$output"
        passed 4 2
    done
}

array_is_done() {
    [ -z "$(in_session squeue -h -j "$job" 2>&1)" ]
}

@test "sbatch --test-only accepts every job script" {
    local script
    for script in jobs/*.sh; do
        grep -q '^#SBATCH' "$script" || continue
        run in_session sbatch --test-only "$script"
        echo "$script: $output"
        [ "$status" = 0 ]
        [[ $output == *"to start at"* ]]
    done
    # and it can refuse
    run in_session sbatch --test-only -N 99 jobs/scatter.sh
    [ "$status" != 0 ]
}

# ---- launchers and libraries that do not fit ----

@test "LOCKSTEP_RANKS catches ranks that are alone: MPICH" {
    need_program build-mpich/mpi/collective/scatter
    LOCKSTEP_RANKS=4 run in_session srun -n 4 --mpi=none build-mpich/mpi/collective/scatter
    echo "$output"
    [ "$status" = 2 ]
    [[ $output == *"expected 4 ranks, MPI says 1"* ]]
}

@test "ranks that are alone fail: Open MPI" {
    need_program "$LOCKSTEP_BUILD/mpi/collective/scatter"
    LOCKSTEP_RANKS=4 run in_session srun -n 4 --mpi=none "$LOCKSTEP_BUILD/mpi/collective/scatter"
    echo "$output"
    [ "$status" != 0 ]
}

# matrix_row BUILD FITTING...: every launcher; those that fit must bring it off, the others may fail, but never report success of ranks that are alone.
matrix_row() {
    local LOCKSTEP_BUILD=$1 launcher
    export LOCKSTEP_BUILD
    need_scatter
    shift
    for launcher in auto mpirun srun srun:pmix srun:pmi2; do
        export LOCKSTEP_LAUNCHER=${launcher#auto}
        run_mpich_job --nodes=2 jobs/scatter.sh --count 1001 --seconds 0.1
        echo "# $LOCKSTEP_BUILD by $launcher: $state $exit_code"
        if [[ " $* " == *" $launcher "* || $state == COMPLETED ]]; then
            completed 4 2
        else
            [ "$state" = FAILED ]
        fi
    done
}

@test "Open MPI under every launcher: right, or refused" {
    matrix_row "$LOCKSTEP_BUILD" auto mpirun srun srun:pmix
}

@test "MPICH under every launcher: right, or refused" {
    matrix_row build-mpich auto mpirun srun srun:pmi2
}

# ---- the end ----

@test "scancel leaves no process of the job" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    submit_job -N 2 --ntasks-per-node=2 \
        --wrap "exec jobs/launch '$BATS_FILE_TMPDIR/hello-openmpi' --wait"
    until_true grep -q 'rank 3 of 4' "$BATS_TEST_TMPDIR/job-$job.out"
    [ "$(in_session pgrep -c hello-openmpi)" = 4 ]

    in_session scancel "$job"
    wait_for_job
    [ "$state" = CANCELLED ]
    until_true no_process hello-openmpi
    until_true no_process slurmstepd
}

no_process() {
    ! in_session pgrep "$1"
}

@test "nothing of the cluster is left behind, also not after kill -9" {
    local ended
    for ended in normally KILL; do
        start_and_end "$ended"
    done
}

# start_and_end normally|KILL
start_and_end() {
    local told=$BATS_TEST_TMPDIR/told-$1
    # shellcheck disable=SC2016  # expanded in the cluster
    tests/cluster/slurm -n 2 -- sh -c '
        sleep 1000 &
        echo "$(readlink /proc/self/ns/pid) $(dirname "$SLURM_CONF")" >"$0.new"
        mv "$0.new" "$0"
        [ "$1" = normally ] || sleep 1000' "$told" "$1" >/dev/null 2>&1 3>&- &
    local script=$!
    until_true test -e "$told"
    local namespace directory
    read -r namespace directory <"$told"
    if [ "$1" = normally ]; then
        wait "$script"
        [ ! -e "$directory" ]
    else
        [ "$(processes_of "$namespace")" -gt 4 ]
        kill "-$1" "$script"
        wait "$script" || :
    fi
    until_true is_empty "$namespace"
    rm -rf "$directory"
}

is_empty() {
    [ "$(processes_of "$1")" = 0 ]
}

@test "the exit status is the command's; 99 when the cluster does not come up" {
    run limited tests/cluster/slurm -n 1 -- sh -c 'exit 33' 3>&-
    [ "$status" = 33 ]
    run limited tests/cluster/slurm -n 1 --conf "NoSuchParameter=1" -- true 3>&-
    echo "$output"
    [ "$status" = 99 ]
    [[ $output == *NoSuchParameter* ]]
}

@test "munge, flat mode, link rates, a scratch directory that is kept" {
    command -v munged >/dev/null || skip "munged is missing"
    local scratch=$BATS_TEST_TMPDIR/s
    run limited tests/cluster/slurm -n 2 --munge --flat --scratch "$scratch" --keep -- \
        srun -N 2 --label hostname 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"0: ctl"* && $output == *"1: ctl"* ]]
    [ -s "$scratch/slurm.conf" ]
    grep -q auth/munge "$scratch/slurm.conf"

    run limited tests/cluster/slurm -n 2 --rate n2=10 -- \
        srun -N 2 --label tc qdisc show dev eth0 3>&-
    echo "$output"
    [[ $output == *"1: qdisc tbf"*"rate 10Mbit"* ]]
    [[ $output != *"0: qdisc tbf"* ]]
}

@test "an ordinary user can have a cluster, or is told what forbids it" {
    [ "$(id -u)" = 0 ] || return 0 # then every other test is one
    local open # to all users, which the checkout may not be
    open=$(mktemp -d)
    chmod 755 "$open"
    cp tests/cluster/* "$open"
    run limited setpriv --reuid nobody --clear-groups \
        sh -c 'cd "$0" && ./slurm -n 2 -- srun -N 2 hostname' "$open" 3>&-
    rm -rf "$open"
    echo "$output"
    if setpriv --reuid nobody --clear-groups unshare --user --map-root-user true 2>/dev/null; then
        [ "$status" = 0 ]
        [[ $output == *n1* && $output == *n2* ]]
    else # many systems and containers keep user namespaces to root; none in a chroot
        [ "$status" = 77 ]
        [[ $output == *"namespaces are not permitted"* ]]
    fi
}

@test "wrong usage ends with 2 and a sentence" {
    local case
    for case in "--nonsense" "" "-n" "-n 0 true" "--topology 2 true" "--rate fast true" \
        "--flat --rate 10 true" "--rate n5=10 true" "--scratch /etc true"; do
        # shellcheck disable=SC2086  # the words of the case
        run tests/cluster/slurm $case
        echo "$case: $output"
        [ "$status" = 2 ]
        [[ $output == slurm:* ]]
    done
}

@test "--help is the head comment" {
    run tests/cluster/slurm --help
    [ "$status" = 0 ]
    [[ $output == "slurm - run a command in a throw-away"* ]]
    [[ $output == *"both are uid 0." ]]
}
