# shellcheck shell=bash
#
# network.bash - the doctor's checks of what lies between ranks of several machines, and of the
# names that MPI looks up even on one
# shellcheck disable=SC2154

# May this user start programs on the hosts of --hosts, and are these files there?
check_hosts() {
    local name silent=() bare=()
    [ -n "$host_file" ] || { verdict skip "no hosts are named: --hosts FILE" && return; }
    for name in "${host_names[@]}"; do
        case $(on_host "$name" "test -x $(printf %q "$jobs/doctor") && echo here || echo bare" \
            2>/dev/null </dev/null) in
            here) ;;
            bare) bare+=("$name") ;;
            *) silent+=("$name") ;;
        esac
    done
    if [ ${#silent[@]} != 0 ]; then
        verdict FAIL "no program can be started on ${silent[*]}" \
            "mpirun logs in there by ssh, without a password" "ssh-copy-id ${silent[0]}"
    elif [ ${#bare[@]} != 0 ]; then
        verdict FAIL "${bare[*]}: there is no $jobs" \
            "programs are started from the same directory on each host" \
            "rsync -a $(printf %q "${jobs%/*}/") ${bare[0]}:$(printf %q "${jobs%/*}/")"
    else
        verdict ok "$nodes hosts, on which programs can be started"
    fi
}

# Virtual networks have the same address on every host: MPI tries them, and hangs.
check_bridges() {
    local names told=$OMPI_MCA_btl_tcp_if_include$OMPI_MCA_btl_tcp_if_exclude
    told+=$FI_TCP_IFACE$UCX_NET_DEVICES
    command -v ip >/dev/null || { verdict skip "there is no ip to list the networks" && return; }
    names=$(timeout 5 ip -br -4 addr 2>/dev/null |
        grep -oE '^(docker|virbr|br-|podman|cni|veth|lxcbr)[A-Za-z0-9._-]*' | paste -sd,)
    if [ -z "$names" ]; then
        verdict ok "no virtual network"
    elif [ "$nodes" = 1 ]; then
        verdict ok "$names: virtual, of no account on one machine"
    elif [ -n "$told" ]; then
        verdict ok "$names: virtual, and MPI is told which network to take"
    elif [ "$family" = openmpi ]; then
        verdict warn "$names: a virtual network, on several hosts with the same address" \
            "Open MPI tries it, and hangs" "export OMPI_MCA_btl_tcp_if_exclude=127.0.0.0/8,$names"
    else
        verdict note "$names: a virtual network; MPICH passes it by"
    fi
}

# The host's own name, and networks that swallow what MPI sends to itself.
check_names() {
    local name=$host address began=$SECONDS took
    address=$(timeout 5 getent hosts "$name" 2>/dev/null | awk '{ print $1; exit }')
    took=$((SECONDS - began))
    if ! command -v getent >/dev/null; then
        verdict skip "there is no getent"
    elif [ $took -ge 2 ]; then
        verdict warn "looking up $name takes $took s" "so does the start of every MPI program" \
            "echo 127.0.1.1 $(printf %q "$name") | sudo tee -a /etc/hosts"
    elif [ -n "$address" ] && ! address_is_here "$address"; then
        verdict warn "$name is $address, which none of this machine's networks has" \
            "MPI waits for itself there" \
            "echo 127.0.1.1 $(printf %q "$name") | sudo tee -a /etc/hosts"
    elif [ -n "$(tunnels)" ]; then
        verdict note "$(tunnels): a VPN is up" "if programs hang at their start, keep MPI off it" \
            "$(hang_cure)"
    elif [ -z "$address" ] && [ "$nodes" -gt 1 ]; then
        verdict note "$name has no address by that name" "other hosts must be able to find it"
    else
        verdict ok "$name${address:+ is $address}"
    fi
}

address_is_here() {
    local all
    [[ $1 != 127.* && $1 != ::1 ]] || return 0
    all=$(timeout 5 ip -br addr 2>/dev/null) || return 0
    [[ " ${all//\// } " == *" $1 "* ]]
}

tunnels() {
    timeout 5 ip -br link 2>/dev/null | grep -E '^(tun|tap|wg|ppp)' | grep -vw DOWN |
        awk '{ print $1 }' | paste -sd,
}
