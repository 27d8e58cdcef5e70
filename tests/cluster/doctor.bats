#!/usr/bin/env bats
# jobs/doctor on a private Slurm of four nodes: no false alarm on the login node, in a job, and on
# several nodes; and each cause that only a cluster can have, really planted.

load session

setup_file() {
    session_start slurm --nodes 4
}

setup() {
    session_setup
    doctor=$PWD/jobs/doctor
    cd "$BATS_TEST_TMPDIR"
}

teardown_file() {
    session_stop
}

# says VERDICT CHECK PATTERN COMMAND...: the doctor's first line, in the cluster
says() {
    run in_session "${@:4}"
    echo "$output"
    # shellcheck disable=SC2053  # a pattern
    [[ $output == "$(printf '%-4s  %-13s' "$1" "$2")"*$3* ]]
}

@test "no false alarm: login node, a job of one node, four nodes, a step" {
    run in_session "$doctor" --skip sharing,shm
    echo "$output"
    [ "$status" = 0 ]
    [[ $output != *warn* && $output != *FAIL* ]]
    run in_session salloc --quiet -N 1 "$doctor" --skip sharing,shm
    echo "$output"
    [[ $status = 0 && $output != *warn* && $output != *FAIL* ]]
    run in_session salloc --quiet -N 4 --ntasks-per-node=2 "$doctor" --skip sharing
    echo "$output"
    [[ $status = 0 && $output != *warn* && $output != *FAIL* ]]
    [[ $output == *"8 ranks that know each other"* ]]
    [[ $output == *"ok    shm            /dev/shm of 512 MB (4 nodes)"* ]]
    run in_session srun -N 1 "$doctor" --skip sharing
    echo "$output"
    [[ $status = 0 && $output != *warn* && $output != *FAIL* ]]
}

@test "srun and the MPI: what does not fit, and its cure" {
    says note srun "plain srun speaks none" "$doctor" --only srun
    says FAIL srun "SLURM_MPI_TYPE=pmi2" env SLURM_MPI_TYPE=pmi2 "$doctor" --only srun
    says ok srun "speaks pmix" env SLURM_MPI_TYPE=pmix "$doctor" --only srun
    # a job whose launcher is told wrongly: every rank fails, or (Open MPI 5) is alone
    says FAIL mixed "" env LOCKSTEP_LAUNCHER=srun:none salloc --quiet -N 2 "$doctor" --only mixed
    [[ $output == *"ends with"* ||
        $output == *"is alone: "*"by jobs/launch with srun:none"*"> unset LOCKSTEP_LAUNCHER"* ]]
    says ok mixed "2 ranks" salloc --quiet -N 2 "$doctor" --only mixed
}

@test "CPUs of a task, account and partition, a controller that is not there" {
    # whether a step of plain srun gets one CPU of the two that its task has
    local doubt=()
    run in_session salloc --quiet -N 1 -n 1 -c 2 srun --cpu-bind=verbose,cores true
    echo "$output"
    [[ $output == *"mask 0x3 set"* ]] || doubt=(warn FAIL)
    says "${doubt[0]:-ok}" cpus-per-task "${doubt:+> export SRUN_CPUS_PER_TASK=2}" \
        salloc --quiet -N 1 -c 2 "$doctor" --only cpus-per-task
    says ok cpus-per-task "" salloc --quiet -N 1 -c 2 env SRUN_CPUS_PER_TASK=2 "$doctor" \
        --only cpus-per-task
    says "${doubt[1]:-ok}" cpus-per-task "${doubt:+two answers}" \
        salloc --quiet -N 1 -c 2 env SRUN_CPUS_PER_TASK=3 "$doctor" --only cpus-per-task
    says FAIL account "partitions here: debug short" env SBATCH_PARTITION=gpu "$doctor" --only account
    says ok account "" env SBATCH_PARTITION=short "$doctor" --only account
    says note cluster "no cluster answers" env SLURM_CONF=/no/such "$doctor" --only cluster
    says ok cluster "debug 4 nodes" "$doctor" --only cluster
}

@test "a node that differs is named" {
    in_session srun -w n3 mount -o remount,size=1m /dev/shm
    run in_session salloc --quiet -N 4 "$doctor" --only shm
    in_session srun -w n3 mount -o remount,size=512m /dev/shm
    echo "$output"
    [[ $output == *"warn  shm "*"1 MB free of 1"*"(n3)"* ]]
    [[ $output == *"ok    shm "*"(n1 n2 n4)"* ]]
}

@test "a virtual network, in a job of several nodes" {
    in_session ip link add docker0 type bridge
    in_session ip address add 172.17.0.1/16 dev docker0
    in_session ip link set docker0 up
    says warn bridges "> export OMPI_MCA_btl_tcp_if_exclude=127.0.0.0/8,docker0" \
        salloc --quiet -N 2 "$doctor" --only bridges
    says ok bridges "MPI is told" env OMPI_MCA_btl_tcp_if_exclude=127.0.0.0/8,docker0 \
        salloc --quiet -N 2 "$doctor" --only bridges
    says ok bridges "of no account on one machine" "$doctor" --only bridges
    in_session ip link delete docker0
}
