#!/usr/bin/env bats
# jobs/doctor --hosts on three pretend hosts: no false alarm, and a host that is off is named.

load session

setup_file() {
    session_start hosts --hosts 3
}

setup() {
    session_setup
    doctor=$PWD/jobs/doctor
    cd "$BATS_TEST_TMPDIR" || return
    printf '%s\n' '# two slots each' 'h1 slots=2' 'h2:2' 'h3 2' >hosts
}

teardown_file() {
    session_stop
}

@test "hosts that are well: each one looked at, ranks started on all" {
    run in_session "$doctor" --hosts hosts --skip sharing
    echo "$output"
    [[ $status = 0 && $output != *warn* && $output != *FAIL* ]]
    [[ $output == *"ok    hosts          3 hosts, on which programs can be started"* ]]
    [[ $output == *"ok    mixed          6 ranks that know each other"* ]]
    [[ $output == *"ok    shm            /dev/shm of 512 MB (3 nodes)"* ]]
}

@test "a host that does not answer, one with a small /dev/shm, a virtual network" {
    echo h9 >>hosts
    run in_session "$doctor" --hosts hosts --only hosts
    echo "$output"
    [[ $status = 1 && $output == "FAIL  hosts "*"no program can be started on h9"*"> ssh-copy-id h9"* ]]
    sed -i '$d' hosts
    # shellcheck disable=SC2016  # expanded in the cluster
    in_session sh -c '"$CLUSTER_RSH" h3 "mount -o remount,size=1m /dev/shm"'
    run in_session "$doctor" --hosts hosts --only shm
    echo "$output"
    [[ $output == *"warn  shm "*"1 MB free of 1"*"(h3)"* && $output == *"ok    shm "*"(h1 h2)"* ]]
    in_session ip link add docker0 type bridge
    in_session ip address add 172.17.0.1/16 dev docker0
    in_session ip link set docker0 up
    run in_session env -u OMPI_MCA_btl_tcp_if_include "$doctor" --hosts hosts --only bridges
    echo "$output"
    [[ $status = 0 && $output == "warn  bridges "*"docker0"* ]]
    [[ $output != *"no other node"* ]]
}
