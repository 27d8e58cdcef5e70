# Pretend machines made of Linux namespaces: what tests/cluster/slurm and tests/cluster/hosts share.
#
# A host is a network namespace, joined to a bridge by a veth pair (eth0 on the host's side), and a
# process in UTS, mount and IPC namespaces of its own: it has its own host name, address, link and
# /dev/shm. CPUs, files and /tmp are the machine's. All hosts live in one private pid namespace, so
# that the kernel ends everything when its first process ends, whatever way that happens.
#
# Sourced by both scripts; a script calls, in this order:
#
#   need COMMAND...                     or end with 77
#   rerun_in_namespaces "$@"            outside: run this script again inside, clean up, exit;
#                                       inside: set $scratch and go on
#   make_network NAME COUNT [HERE]      loopback, bridge, and the names NAME1..NAMEn
#   make_link NAME I                    the network namespace of host NAMEi and its eth0
#   on_host NAME I COMMAND...           run COMMAND as (a part of) that host
#
# Exit statuses: 2 wrong usage, 77 cannot run here; one sentence on stderr says why.

readonly subnet=10.77.0
readonly bridge_host=254

# die STATUS SENTENCE
die() {
    echo "${0##*/}: $2" >&2
    exit "$1"
}

# ---- options ----

# The head comment of the calling script is its manual.
print_help() {
    sed -n '2,/^[^#]/ { /^#/ { s/^# \{0,1\}//; p; } }' "$0"
}

# need_value OPTION [VALUE]: the option is followed by a value.
need_value() {
    [ $# -ge 2 ] || die 2 "option $1 needs a value: see --help"
}

# need_count OPTION VALUE MAX: the value is a whole number from 1 to MAX.
need_count() {
    [[ $2 =~ ^[1-9][0-9]{0,8}$ && $2 -le $3 ]] || die 2 "$1 '$2': give a number from 1 to $3"
}

# Link rates in Mbit/s: of the host of that name, or of all hosts (the empty name is not a legal
# key in bash, so it is called "all").
declare -A link_rates=()

# add_rate [HOST=]MBIT
add_rate() {
    [[ $1 =~ ^(([a-z]+[1-9][0-9]*)=)?([1-9][0-9]{0,5})$ ]] ||
        die 2 "--rate '$1': give MBIT for all hosts or HOST=MBIT for one"
    link_rates[${BASH_REMATCH[2]:-all}]=${BASH_REMATCH[3]}
}

# check_rates NAME COUNT: every --rate HOST=MBIT names one of NAME1..NAMEn.
check_rates() {
    local host
    for host in "${!link_rates[@]}"; do
        [ "$host" = all ] && continue
        [[ $host == "$1"+([0-9]) && ${host#"$1"} -le $2 ]] ||
            die 2 "--rate $host=${link_rates[$host]}: hosts are ${1}1 to $1$2"
    done
}

# ---- outside: the namespaces around all hosts ----

# need COMMAND...
need() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null ||
            die 77 "cannot run here: $command is missing (run: make deps check)"
    done
}

# rerun_in_namespaces ARGUMENTS...: runs the calling script again with ARGUMENTS in fresh
# namespaces and with a scratch directory, which is removed afterwards unless $keep is yes.
# $scratch_wanted may name the directory; else it is in /tmp itself, not in TMPDIR, as the paths
# of the sockets in it must stay under 108 characters.
rerun_in_namespaces() {
    if [ -n "${LOCKSTEP_CLUSTER_SCRATCH:-}" ]; then
        scratch=$LOCKSTEP_CLUSTER_SCRATCH
        unset LOCKSTEP_CLUSTER_SCRATCH # the command may start a cluster of its own
        return
    fi

    local namespaces=(--mount --pid --net --uts --ipc)
    [ "$(id -u)" = 0 ] || namespaces=(--user --map-root-user "${namespaces[@]}")
    permitted "${namespaces[@]}"
    make_scratch
    local status=0
    export LOCKSTEP_CLUSTER_SCRATCH=$scratch
    contain "${namespaces[@]}" -- "$BASH" "$0" "$@" || status=$?
    remove_scratch
    exit "$status"
}

# permitted NAMESPACE...: or end with 77
permitted() {
    local refusal
    refusal=$(unshare --fork --kill-child --mount-proc "$@" true 2>&1) ||
        die 77 "cannot run here: namespaces are not permitted ($refusal)"
}

# contain NAMESPACE... -- COMMAND...: runs it in fresh namespaces, --pid among them, and gives its
# status. Whatever way this script ends, everything inside ends with it.
#
# pdeathsig ends unshare if this script is killed, --kill-child then ends the first process of the
# pid namespace, and with it everything inside. In the background, as bash would put off its traps
# until a foreground command ends; but then bash takes away the standard input and makes the
# command deaf to ^C, which <&0 and --default-signal undo.
contain() {
    env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
        unshare --fork --kill-child --mount-proc "$@" <&0 &
    local unshare_pid=$! status=0 stopped=0 signal
    for signal in HUP INT TERM; do
        # The same signal may have ended unshare already (a ^C goes to all).
        # shellcheck disable=SC2064  # both values are those of now
        trap "stopped=$((128 + $(kill -l $signal))); kill -KILL $unshare_pid 2>/dev/null || :" \
            "$signal"
    done
    wait "$unshare_pid" 2>/dev/null || status=$? # bash would report what it killed
    if [ $stopped != 0 ]; then
        trap '' HUP INT TERM # one is enough
        status=$stopped
        wait "$unshare_pid" 2>/dev/null || : # a trap had ended the first wait
    fi
    return "$status"
}

make_scratch() {
    if [ -n "${scratch_wanted:-}" ]; then
        mkdir -p "$scratch_wanted" || die 2 "cannot make the scratch directory $scratch_wanted"
        scratch=$(cd "$scratch_wanted" && pwd)
        # it will be removed: never take one that holds something of somebody's
        [ -z "$(ls -A "$scratch")" ] || die 2 "the scratch directory $scratch is not empty"
    else
        scratch=$(mktemp -d "/tmp/lockstep-${0##*/}.XXXXXX")
    fi
}

remove_scratch() {
    [ "${keep:-no}" = yes ] && return
    # processes that are just being killed may still write a last file
    local try
    for try in 1 2 3 4 5; do
        rm -rf "$scratch" 2>/dev/null && return
        sleep "0.$try"
    done
    echo "${0##*/}: could not remove $scratch" >&2
}

# ---- inside: the network and the hosts ----

# make_network NAME COUNT [HERE]: the bridge, and a hosts file with the names and addresses; HERE
# is a name for the bridge's own address.
#
# The bridge also gives the outermost network namespace an address besides loopback, which
# getaddrinfo(AI_ADDRCONFIG) ignores: without it Slurm's daemons cannot open their sockets
# ("attempting to set port without address family").
make_network() {
    local name=$1 count=$2 i
    ip link set lo up
    ip link add bridge0 type bridge 2>/dev/null ||
        die 77 "cannot run here: the kernel gives no bridge"
    ip address add "$subnet.$bridge_host/24" dev bridge0
    ip link set bridge0 up
    {
        echo "127.0.0.1 localhost"
        [ $# -lt 3 ] || echo "$(host_address "$bridge_host") $3"
        for ((i = 1; i <= count; i++)); do
            echo "$(host_address "$i") $name$i"
        done
    } >"$scratch/hosts"
    mount --bind "$scratch/hosts" /etc/hosts
}

# host_address I
host_address() {
    echo "$subnet.$1"
}

# make_link NAME I: host NAMEi's network namespace, its eth0 on the bridge, and the link's rate.
#
# A file holds the namespace, so that all is in place before the host's first process starts:
# moving eth0 to a process that has not yet reached its own namespace would fail
# ("Cannot find device eth0", the node stays down).
make_link() {
    local host=$1$2 i=$2
    local net=$scratch/$host.net
    touch "$net"
    unshare --net="$net" true || die 77 "cannot run here: no network namespace for $host"
    ip link add "veth$i" type veth peer name eth0 netns "$net" ||
        die 77 "cannot run here: the kernel gives no virtual cable (veth)"
    ip link set "veth$i" master bridge0 up
    nsenter --net="$net" ip link set lo up
    nsenter --net="$net" ip address add "$(host_address "$i")/24" dev eth0
    nsenter --net="$net" ip link set eth0 up
    limit_link "$host" "$net"
}

# limit_link HOST NETFILE: the host's rate, if there is one. It holds for what leaves the host and,
# at the bridge's end of the same cable, for what arrives.
limit_link() {
    local rate=${link_rates[$1]:-${link_rates[all]:-}}
    [ -n "$rate" ] || return 0
    local bucket=(root tbf rate "${rate}mbit" burst 64k latency 50ms)
    nsenter --net="$2" tc qdisc add dev eth0 "${bucket[@]}"
    tc qdisc add dev "veth${1##*[a-z]}" "${bucket[@]}"
}

# on_host NAME I COMMAND...: run COMMAND in host NAMEi's network namespace and fresh UTS, mount and
# IPC namespaces. With $clock_step set also in a time namespace, whose clocks are ahead by
# (I - 1) * clock_step seconds. A time namespace takes in the children of the process that makes it,
# hence --fork.
on_host() {
    local host=$1$2 i=$2
    shift 2
    local own=(--uts --mount --ipc --fork --kill-child)
    if [ -n "${clock_step:-}" ]; then
        local ahead=$(((i - 1) * clock_step))
        # CLOCK_BOOTTIME too: it never lies behind CLOCK_MONOTONIC, and /proc/uptime shows it
        own+=(--time --monotonic "$ahead" --boottime "$ahead")
    fi
    # shellcheck disable=SC2016  # expanded by the shell inside
    exec nsenter --net="$scratch/$host.net" unshare "${own[@]}" sh -c '
        hostname "$0" && mount -t tmpfs -o size=512m tmpfs /dev/shm && exec "$@"' "$host" "$@"
}

# Inside one is uid 0, whoever one is outside, and Open MPI's mpirun refuses that user.
allow_mpirun_as_root() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

# share_cpus CPUS: the hosts pretend to have CPUS in all. Where these are more than the machine's,
# Open MPI's waiting ranks must give way; mpirun and job scripts, which count the pretended ones,
# would not ask for it. So with OpenMP's threads.
share_cpus() {
    if [ "$1" -gt "$(nproc)" ]; then
        export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
        export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
    fi
}
