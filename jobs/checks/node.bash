# shellcheck shell=bash
#
# node.bash - the doctor's checks of one node, made on every node of a job
# shellcheck disable=SC2154

# May one rank read another's memory (cross-memory attach)? Large messages within a node need it.
check_cma() {
    local said
    [ -n "$probe" ] || { verdict skip "${no_probe:-no program to try it}" && return; }
    said=$(timeout 10 "$probe" cma 2>/dev/null)
    case $said in
        ok) verdict ok "ranks may read each other's memory" ;;
        EPERM | ENOSYS)
            verdict warn "ranks may not read each other's memory ($said, ptrace_scope $(
                cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo none))" \
                "results stay right; large messages are copied twice" \
                "export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_smsc=^cma"
            ;;
        *) verdict skip "the program that tries it does not run here" ;;
    esac
}

# Ranks of a node talk through files in /dev/shm; one that is full ends a program by a bus error.
check_shm() {
    local total free left
    read -r total free < <(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $2, $4 }')
    left=$(find /dev/shm -maxdepth 1 -type f -user "$(id -un)" -mmin +60 2>/dev/null | wc -l)
    if ! [[ $total =~ ^[0-9]{1,15}$ && $free =~ ^[0-9]{1,15}$ ]]; then
        verdict skip "there is no /dev/shm to be measured"
    elif [ "$free" -lt $((16384 * ${ranks:-2})) ] || [ "$total" -le 65536 ]; then
        verdict warn "$((free / 1024)) MB free of $((total / 1024)), for ${ranks:-2} ranks" \
            "shared memory that does not fit ends in a bus error" \
            "docker run --shm-size=1g   or OMPI_MCA_btl_vader_backing_directory=$(
                printf %q "${TMPDIR:-/tmp}")"
    elif [ "$left" -gt 20 ]; then
        verdict note "/dev/shm has $left files of yours that are an hour old" \
            "programs that were killed left them" "find /dev/shm -user $(id -un) -mmin +60 -delete"
    else
        verdict ok "/dev/shm of $((total / 1024)) MB"
    fi
}

# Locked memory: InfiniBand wants it all.
check_memlock() {
    local limit
    limit=$(ulimit -l)
    if [ -z "$(ls /sys/class/infiniband 2>/dev/null)" ]; then
        verdict ok "no InfiniBand, which would want locked memory"
    elif [ "$limit" = unlimited ] || [ "$limit" -ge 1048576 ]; then
        verdict ok "locked memory: $limit KB"
    else
        verdict warn "InfiniBand, but only $limit KB of locked memory" \
            "its queues may not fit; the limit of Slurm's daemon may be another than the login's" \
            "ulimit -l unlimited   or for the administrator: LimitMEMLOCK=infinity for slurmd"
    fi
}

check_tmpdir() {
    local folder=${TMPDIR:-/tmp} session free
    session=$folder/ompi.${host%%.*}.$(id -u)
    free=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 && $4 ~ /^[0-9]+$/ { print $4 }')
    if ! [ -d "$folder" ] || ! [ -w "$folder" ]; then
        verdict FAIL "TMPDIR=$folder is no directory that you may write to" \
            "mpirun keeps its sockets there" "export TMPDIR=/tmp"
    elif [ -e "$session" ] && ! [ -O "$session" ]; then
        verdict FAIL "$session belongs to somebody else" \
            "mpirun cannot make its directory of that name" "export TMPDIR=\$(mktemp -d)"
    elif [ "${free:-99999}" -lt 16384 ]; then
        verdict warn "$folder has $((free / 1024)) MB free" "mpirun and compilers write there" \
            "export TMPDIR=/somewhere/else"
    elif [[ $(stat -f -c %T "$folder" 2>/dev/null) == nfs* ]]; then
        verdict warn "$folder is on NFS" "sockets and shared memory do not belong there" \
            "export TMPDIR=/tmp"
    elif [ ${#folder} -gt 60 ]; then
        verdict note "$folder is long" \
            "on some systems a socket's path has room for 104 characters" "export TMPDIR=/tmp"
    else
        verdict ok "$folder"
    fi
}

# A container or a job may own a part of the machine, and a quota shows in no mask.
check_cpus() {
    local here all percent
    here=$(env -u OMP_NUM_THREADS nproc 2>/dev/null) all=$(nproc --all 2>/dev/null)
    [ -n "$here" ] || { verdict skip "there is no nproc" && return; }
    percent=$(least_quota)
    if [ -n "$percent" ] && [ "$percent" -lt $((100 * here)) ]; then
        verdict note "$here CPUs, with a quota of $percent % of one" \
            "more ranks than the quota has CPUs wait for each other"
    elif [ "$here" -lt "$all" ]; then
        verdict note "$here of $all CPUs are yours" \
            "Open MPI's mpirun counts all, and begins with the first" "mpirun --bind-to none ..."
    else
        verdict ok "all $all CPUs"
    fi
}

# The least quota among the control groups around this process, in percent of one CPU, if there is
# one: of version 2, whose file says "QUOTA PERIOD" or "max PERIOD", or 1, where -1 is none.
least_quota() {
    local groups path least='' quota period folder=/sys/fs/cgroup
    groups=$(cat /proc/self/cgroup)
    path=$(sed -n 's/^0:://p' <<<"$groups")
    while
        take_quota "$(cat "$folder$path/cpu.max")"
        [ -n "$path" ]
    do path=${path%/*}; done
    path=$(sed -nE 's/^[0-9]+:([^:]*,)?cpu(,[^:]*)?:(.*)/\3/p' <<<"$groups")
    while
        take_quota "$(cat "$folder/cpu$path"/cpu.cfs_{quota,period}_us)"
        [ -n "$path" ]
    do path=${path%/*}; done
    echo "$least"
} 2>/dev/null

take_quota() { # take_quota "QUOTA PERIOD", of least_quota
    read -r -d '' quota period <<<"$1"
    if [[ $quota =~ ^[0-9]{1,15}$ && $period =~ ^[1-9][0-9]{0,14}$ ]]; then
        quota=$((100 * quota / period))
        [ "${least:-$quota}" -lt "$quota" ] || least=$quota
    fi
}
