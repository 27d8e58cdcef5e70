#!/usr/bin/env bats
# jobs/checkpoint.sh on a private Slurm: stopped by its time limit twice, and by the loss of a node,
# it ends with the bits of a run that nobody disturbed. Some minutes: Slurm's shortest time limit is
# one, and it looks at limits twice a minute.

# shellcheck disable=SC2154  # session.bash sets job, state and exit_code

load ../cluster/session

# Small enough for a serial loop to check all of its steps, and slow by many threads for few cores.
field=(--n 40 --field rough --seed 5)

setup_file() {
    session_start slurm --nodes 4 --conf SlurmdTimeout=10
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [[ $LOCKSTEP_BUILD == /* ]] || LOCKSTEP_BUILD=$session_root/$LOCKSTEP_BUILD
}

setup() {
    session_setup
    jobs=$PWD/jobs
    cd "$BATS_TEST_TMPDIR"
}

teardown_file() {
    session_stop
}

# measure_steps SECS: sets steps to what the job's ranks do in about so many seconds, without start
# and end.
measure_steps() {
    local took output
    SESSION_LIMIT=100 run_job -N 3 --time=2 "$jobs/checkpoint.sh" "${field[@]}" --threads 3 --steps 3000 \
        --checkpoint-every 0
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    rm field-*
    took=$(awk '$1 == "funneled" { printf "%d", $6 }' <<<"$output") # in us
    steps=$((3000 * 1000000 * $1 / took))
    echo "# $steps steps"
}

# The bits that it must come to, by another number of ranks.
undisturbed() {
    limited "$jobs/launch" -n 2 stencil/stencil "${field[@]}" --threads 1 --steps "$steps" \
        --checkpoint "$BATS_TEST_TMPDIR/undisturbed"
}

@test "the time limit twice: saved, back into the queue, the same bits" {
    local steps
    measure_steps 240 # Slurm warns after 20 to 50 s; and the machine may be twice as quick by then
    submit_job -N 3 --time=1 "$jobs/checkpoint.sh" "${field[@]}" --threads 3 --steps "$steps" \
        --checkpoint-every 0
    SESSION_LIMIT=900 wait_for_job
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    # one file tells of all runs
    [ "$(grep -c '^# checkpoint: saved in ' <<<"$output")" -ge 2 ]
    [ "$(grep -c '^# goes on from step ' <<<"$output")" -ge 2 ]
    [[ $(tail -n 1 <<<"$output") == PASS* ]]
    undisturbed
    cmp "field-$job" undisturbed
}

@test "a node is lost: at most the work since the last checkpoint" {
    local steps lost saved
    measure_steps 40
    submit_job -N 3 --time=10 "$jobs/checkpoint.sh" "${field[@]}" --threads 3 --steps "$steps" \
        --checkpoint-every 100
    until_true test -e "checkpoint-$job"
    sleep 5
    lost=$(in_session scontrol show hostnames "$(in_session squeue -h -j "$job" -o %N)" | sed -n 2p)
    saved=$(step_of "checkpoint-$job")
    kill_node "$lost"
    SESSION_LIMIT=500 wait_for_job
    [ "$state $exit_code" = "COMPLETED 0:0" ]
    # the second run has other nodes, and goes on from that checkpoint or a later one
    [[ $(grep '^# job ' <<<"$output" | tail -n 1) != *"$lost"* ]]
    step=$(grep -oE '^# goes on from step [0-9]+' <<<"$output" | tail -n 1 | grep -oE '[0-9]+$')
    echo "# step $saved was saved when $lost was lost; it went on from $step"
    [ "$saved" -ge 100 ]
    [ "$step" -ge "$saved" ]
    [ "$step" -lt "$steps" ]
    undisturbed
    cmp "field-$job" undisturbed
}

# The number of steps that a checkpoint has, from its head.
step_of() {
    od -An -t u8 -j 56 -N 8 "$1" | tr -d ' '
}

# A power cut: the node answers no more, and all its processes are gone.
kill_node() {
    # shellcheck disable=SC2016  # expanded in the cluster
    in_session bash -c '
        ip link set "veth${0#n}" down
        node=$(readlink "/proc/$(pgrep -f "^slurmd -D -N $0\$")/ns/uts")
        for process in /proc/[0-9]*; do
            [ "$(readlink "$process/ns/uts")" != "$node" ] || kill -KILL "${process#/proc/}"
        done' "$1"
}
