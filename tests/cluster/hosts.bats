#!/usr/bin/env bats
# Programs across three pretend hosts of two slots each, and the pretend hosts themselves.

load session

setup_file() {
    build_hello
    session_start hosts --hosts 3 --slots 2 --rate 800 --rate h3=100 --clock 1000
}

setup() {
    session_setup
    build=${LOCKSTEP_BUILD:-build}
}

teardown_file() {
    session_stop
}

# column NAME: the word after NAME in each line of hello's output
column() {
    sed -n "s/.* $1 \([^ ]*\).*/\1/p" <<<"$output"
}

# ---- programs ----

@test "scatter on three hosts with Open MPI" {
    need_program "$build/mpi/collective/scatter"
    run in_session jobs/launch -n 6 scatter --count 1001
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"6 ranks on 3 nodes"* ]]
    [[ $'\n'$output == *$'\n'PASS* ]]
}

@test "scatter on three hosts with MPICH" {
    need_program build-mpich/mpi/collective/scatter
    # It may hang in MPI_Finalize across nodes (finalize_together in mpi/lib/world.c makes that rare).
    for _ in 1 2 3; do
        SESSION_LIMIT=100 LOCKSTEP_BUILD=build-mpich \
            run in_session jobs/launch -n 6 scatter --count 1001 --seconds 0.2
        echo "$output"
        [ "$status" = 124 ] || break
    done
    [ "$status" = 0 ]
    [[ $output == *"6 ranks on 3 nodes"* ]]
    [[ $'\n'$output == *$'\n'PASS* ]]
}

@test "launch --hosts: those of a file, so many ranks on each" {
    need_program "$build/mpi/p2p/hello"
    printf '%s\n' 'h3 2' '# h1 2' 'h2 slots=2' >"$BATS_TEST_TMPDIR/file"
    run in_session jobs/launch --hosts "$BATS_TEST_TMPDIR/file" p2p/hello
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"4 ranks on 2 nodes"* && $output == *h2* && $output == *h3* ]]
    run in_session jobs/launch --hosts "$BATS_TEST_TMPDIR/file" --ranks-per-node 1 p2p/hello
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"2 ranks on 2 nodes"* ]]
    [ -x build-mpich/mpi/p2p/hello ] || return 0
    LOCKSTEP_BUILD=build-mpich run in_session jobs/launch --hosts "$BATS_TEST_TMPDIR/file" -N 1 \
        p2p/hello
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"2 ranks on 1 node"* && $output == *h3* ]]
}

@test "a wrong result on another host fails the run" {
    need_program "$build/mpi/collective/scatter"
    run in_session jobs/launch -n 6 scatter --count 1001 --fault drop
    echo "$output"
    [ "$status" = 1 ]
    [[ $'\n'$output == *$'\n'FAIL* ]]
}

@test "launch hands LOCKSTEP_RANKS to the ranks of every host" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    run in_session jobs/launch -n 6 "$BATS_FILE_TMPDIR/hello-openmpi" LOCKSTEP_RANKS
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c ' LOCKSTEP_RANKS=6$' <<<"$output")" = 6 ]
}

# ---- the pretend hosts ----

@test "Open MPI finds the hosts; ranks on different hosts share no memory" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    run in_session mpirun.openmpi -n 6 "$BATS_FILE_TMPDIR/hello-openmpi"
    echo "$output"
    [ "$status" = 0 ]
    [ "$(column host | xargs)" = "h1 h1 h2 h2 h3 h3" ]
    [ "$(column shares | xargs)" = "2 2 2 2 2 2" ]
}

@test "each host has its own name, address and /dev/shm" {
    # shellcheck disable=SC2016  # expanded on the hosts
    run in_session bash -c '
        for host in h1 h2 h3; do
            "$CLUSTER_RSH" "$host" "hostname; ip -brief -4 address show eth0; touch /dev/shm/$host"
        done
        "$CLUSTER_RSH" h2 ls /dev/shm'
    echo "$output"
    [ "$(grep -c '^h[123]$' <<<"$output")" = 4 ]
    [ "$(grep -o '10\.77\.0\.[0-9]*' <<<"$output" | xargs)" = "10.77.0.1 10.77.0.2 10.77.0.3" ]
    [ "$(tail -n 1 <<<"$output")" = h2 ]
    [[ $output != *h1$'\n'h2 ]]
}

@test "the rsh agent gives a fresh login's environment, as ssh does" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    PROBE="set" run in_session mpirun.openmpi -n 6 "$BATS_FILE_TMPDIR/hello-openmpi" PROBE
    echo "$output"
    [ "$(grep -c 'host h1 .* PROBE=set$' <<<"$output")" = 2 ]
    [ "$(grep -c 'host h[23] .* PROBE=(unset)$' <<<"$output")" = 4 ]

    PROBE="set" run in_session mpirun.openmpi -n 6 -x PROBE "$BATS_FILE_TMPDIR/hello-openmpi" PROBE
    echo "$output"
    [ "$(grep -c ' PROBE=set$' <<<"$output")" = 6 ]
}

@test "--clock shifts the monotonic clock of host i by (i - 1) * SECS" {
    need_program "$BATS_FILE_TMPDIR/hello-openmpi"
    run in_session mpirun.openmpi -n 6 "$BATS_FILE_TMPDIR/hello-openmpi"
    echo "$output"
    local clocks
    mapfile -t clocks < <(column clock)
    local here
    read -r here _ </proc/uptime
    # all clocks are read within one run: 200 s is for a machine that is nearly at a stand
    near $((clocks[2] - clocks[0])) 1000
    near $((clocks[4] - clocks[0])) 2000
    near "${clocks[0]}" "${here%.*}"
}

# near A B: 200 apart at most
near() {
    [ $(($1 - $2)) -ge -200 ] && [ $(($1 - $2)) -le 200 ]
}

@test "--rate limits all links, HOST=MBIT one of them" {
    # shellcheck disable=SC2016  # expanded on the hosts
    run in_session sh -c '
        for host in h1 h2 h3; do "$CLUSTER_RSH" "$host" tc qdisc show dev eth0; done'
    echo "$output"
    [ "$(grep -o 'qdisc tbf .* rate [^ ]*' <<<"$output" | sed 's/.* //' | xargs)" \
        = "800Mbit 800Mbit 100Mbit" ]
}

@test "without --rate and --clock there is no limit and no shift" {
    run limited tests/cluster/hosts --hosts 2 -- sh -c \
        'tc qdisc show dev eth0; readlink /proc/self/ns/time' 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [[ $output != *tbf* ]]
    [ "$(tail -n 1 <<<"$output")" = "$(readlink /proc/self/ns/time)" ]
}

# ---- the script ----

@test "the exit status is the command's" {
    run limited tests/cluster/hosts -n 1 -- sh -c 'exit 33' 3>&-
    [ "$status" = 33 ]
}

@test "nothing is left behind" {
    # shellcheck disable=SC2016  # expanded on the host
    run limited tests/cluster/hosts -n 2 -- sh -c '
        sleep 1000 >/dev/null 2>&1 &
        readlink /proc/self/ns/pid
        dirname "$CLUSTER_RSH"' 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [ "$(processes_of "${lines[0]}")" = 0 ]
    [ ! -e "${lines[1]}" ]
}

@test "no process is left behind after kill -9, and no file after a plain kill" {
    local signal
    for signal in KILL TERM; do
        start_and_kill "$signal"
    done
}

# start_and_kill SIGNAL
start_and_kill() {
    local told=$BATS_TEST_TMPDIR/told-$1
    # shellcheck disable=SC2016  # expanded on the host
    tests/cluster/hosts -n 2 -- sh -c '
        echo "$(readlink /proc/self/ns/pid) $(dirname "$CLUSTER_RSH")" >"$0.new"
        mv "$0.new" "$0"
        sleep 1000' "$told" 3>&- &
    local script=$!
    until_true test -e "$told"
    local namespace directory
    read -r namespace directory <"$told"
    [ "$(processes_of "$namespace")" -gt 2 ]

    kill "-$1" "$script"
    wait "$script" || :
    until_true is_empty "$namespace"
    if [ "$1" = KILL ]; then
        rm -r "$directory"
    else
        [ ! -e "$directory" ]
    fi
}

is_empty() {
    [ "$(processes_of "$1")" = 0 ]
}

@test "wrong usage ends with 2 and a sentence" {
    local case
    for case in "--nonsense" "" "-n" "-n 0 true" "-n 3x true" "--clock -5 true" \
        "--rate fast true" "--rate h5=10 true" "--rate=h1=0 true"; do
        # shellcheck disable=SC2086  # the words of the case
        run tests/cluster/hosts $case
        echo "$case: $output"
        [ "$status" = 2 ]
        [[ $output == hosts:* ]]
    done
}

@test "--help is the head comment" {
    run tests/cluster/hosts --help
    [ "$status" = 0 ]
    [[ $output == "hosts - run a command on pretend hosts"* ]]
    [[ $output == *"both are uid 0." ]]
}
