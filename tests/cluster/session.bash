# A pretend cluster that stays up for all tests of a bats file.
#
#   load ../cluster/session        (or session, beside this file)
#   setup_file()    { session_start slurm --nodes 4; }      or hosts --hosts 3, and so on
#   setup()         { session_setup; }
#   @test ...       { run in_session COMMAND...; run_job JOBSCRIPT...; }
#   teardown_file() { session_stop; }
#
# The cluster runs a process that only waits; in_session enters that process's namespaces. This
# costs a few milliseconds, where a cluster for each test would cost a second.

session_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/wait.bash
. "$session_root/tests/wait.bash"

# session_start slurm|hosts [OPTION]...: brings the cluster up. Where that is not possible the
# reason is kept, and session_setup skips each test with it.
session_start() {
    local kind=$1 waiting=$BATS_FILE_TMPDIR/session
    shift
    # The waiting process bears a name that no other process has. Descriptor 3 is bats' own: it
    # would wait for everybody who holds it.
    # shellcheck disable=SC2016  # expanded by the shell inside
    "$session_root/tests/cluster/$kind" "$@" -- bash -c 'exec -a "$0" sleep infinity' "$waiting" \
        >"$waiting.log" 2>&1 3>&- &
    export SESSION_STARTER=$! SESSION_PID='' SESSION_MISSING=''

    until SESSION_PID=$(pgrep -f "^$waiting "); do
        kill -0 "$SESSION_STARTER" 2>/dev/null || break
        sleep 0.05
    done
    [ -z "$SESSION_PID" ] || return 0

    local status=0
    wait "$SESSION_STARTER" || status=$?
    cat "$waiting.log" >&2
    [ $status = 77 ] || return 1
    SESSION_MISSING=$(tail -n 1 "$waiting.log")
}

# Also waits until the cluster's directory is removed. bats may call this in another process than
# the one that started the cluster, which could not `wait` for it.
session_stop() {
    [ -n "$SESSION_PID" ] || return 0
    kill "$SESSION_STARTER"
    until_true session_ended
}

session_ended() {
    ! kill -0 "$SESSION_STARTER" 2>/dev/null
}

session_setup() {
    [ -z "$SESSION_MISSING" ] || skip "$SESSION_MISSING"
    cd "$session_root" || return
}

# in_session COMMAND...: runs it in the cluster, in the current directory, with what the cluster
# sets in the environment on top of the test's own; SESSION_LIMIT seconds at most, if that is set,
# else as long as only a hang takes.
in_session() {
    local variable cluster=()
    while IFS= read -r -d '' variable; do
        case $variable in
            SLURM_CONF=* | SLURM_PMIX_* | CLUSTER_* | OMP_* | OMPI_* | PRTE_* | HYDRA_*) cluster+=("$variable") ;;
        esac
    done <"/proc/$SESSION_PID/environ"
    # shellcheck disable=SC2016  # expanded by the shell inside
    hang_secs=${SESSION_LIMIT:-$hang_secs} limited \
        nsenter --target "$SESSION_PID" --all --root --preserve-credentials -- \
        env "${cluster[@]}" sh -c 'cd "$0" && exec "$@"' "$PWD" "$@" 3>&-
}

# processes_of NAMESPACE: how many processes are in the pid namespace, "pid:[4026532216]" as
# `readlink /proc/self/ns/pid` says it inside.
processes_of() {
    local process count=0
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/pid" 2>/dev/null)" != "$1" ] || count=$((count + 1))
    done
    echo "$count"
}

# ---- programs ----

# build_hello: hello for each MPI that is there, hello-openmpi and hello-mpich in $BATS_FILE_TMPDIR.
build_hello() {
    local mpi
    for mpi in openmpi mpich; do
        ! command -v "mpicc.$mpi" >/dev/null ||
            "mpicc.$mpi" -o "$BATS_FILE_TMPDIR/hello-$mpi" "$session_root/tests/cluster/hello.c"
    done
}

# need_program PATH
need_program() {
    [ -x "$1" ] || skip "$1 is not there"
}

# ---- Slurm jobs ----

# run_job [SBATCH OPTION]... SCRIPT [ARGUMENT]...: submits it and waits for its end; sets $job,
# $state (COMPLETED, FAILED ...), $exit_code (STATUS:SIGNAL) and $output, and shows the latter.
run_job() {
    submit_job "$@"
    wait_for_job
}

# run_mpich_job: as run_job; a job that hangs is cancelled, and tried again up to two times. MPICH
# 4.0 may hang in MPI_Finalize across nodes (finalize_together in mpi/lib/world.c makes that rare).
run_mpich_job() {
    for _ in 1 2 3; do
        submit_job "$@"
        if SESSION_LIMIT=100 job_ends; then
            read_job
            return
        fi
        in_session scancel "$job"
        job_ends
    done
    return 1
}

# Sets $job. The output goes where the test is, whatever the script says of it.
submit_job() {
    local answer
    answer=$(SBATCH_OUTPUT="$BATS_TEST_TMPDIR/job-%j.out" in_session sbatch --parsable "$@")
    job=${answer%%;*}
}

wait_for_job() {
    job_ends
    read_job
}

# Waits for the end of $job, SESSION_LIMIT seconds at most. Polls, as `sbatch --wait` looks at
# longer and longer intervals.
job_ends() {
    # shellcheck disable=SC2016  # expanded by the shell inside
    in_session sh -c 'while [ -n "$(squeue -h -j "$0" 2>&1)" ]; do
        sleep 0.1
    done' "$job"
}

read_job() {
    local record
    record=$(in_session scontrol --oneliner show job "$job")
    state=$(field JobState "$record")
    exit_code=$(field ExitCode "$record")
    output=$(cat "$BATS_TEST_TMPDIR/job-$job.out")
    echo "# job $job: $state $exit_code"
    echo "$output"
}

# field NAME RECORD
field() {
    [[ " $2 " =~ \ $1=([^ ]*)\  ]] && echo "${BASH_REMATCH[1]}"
}
