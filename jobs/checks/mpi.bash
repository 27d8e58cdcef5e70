# shellcheck shell=bash
#
# mpi.bash - the doctor's checks of MPI itself: does it start, as one job, as it was told?
# shellcheck disable=SC2154

# Where each setting is from: options, environment, site file.
check_settings() {
    local name shown=0
    for name in $(compgen -e | grep -E '^(SBATCH|SALLOC|LOCKSTEP)_'); do
        verdict note "$name=${!name} ($(site_from "$name"))"
        shown=1
    done
    if [ $shown = 0 ]; then
        verdict ok "no site file, and nothing in the environment: the defaults hold"
    fi
}

check_slots() {
    if [ "$family" != openmpi ]; then
        verdict skip "only Open MPI counts slots"
    elif $in_job; then
        verdict ok "in a job mpirun takes its slots from Slurm"
    elif [ "$ranks" -gt "$cores" ]; then
        verdict warn "mpirun gives one slot a core: $cores here, $ranks ranks are wanted" \
            "it refuses: There are not enough slots available" \
            "mpirun --map-by slot:OVERSUBSCRIBE --bind-to none -n $ranks ..."
    else
        verdict ok "$cores cores for $ranks ranks"
    fi
}

# Settings that the other major version of Open MPI had: they are ignored without a word. Who sets
# the names of both has thought of it.
check_flags() {
    local name new dead=() file=~/.openmpi/mca-params.conf
    [ "$family" = openmpi ] || { verdict skip "only Open MPI changed its settings" && return; }
    for name in $(compgen -e) \
        $(sed -nE 's/^ *([a-z0-9_]+) *=.*/OMPI_MCA_\1/p' "$file" 2>/dev/null); do
        case $major.$name in
            4.PRTE_MCA_* | 5.OMPI_MCA_rmaps_* | 5.OMPI_MCA_orte_* | 5.OMPI_MCA_plm_* | \
                5.OMPI_MCA_oob_* | 5.OMPI_MCA_btl_vader_single_copy_mechanism)
                new=$(new_name "$name") new=${new%%=*}
                [ -n "${!new}" ] || dead+=("$name")
                ;;
        esac
    done
    if [ ${#dead[@]} = 0 ]; then
        verdict ok "no setting of another version of Open MPI than $major"
    else
        verdict warn "${dead[*]}: without effect in Open MPI $major" \
            "its name there: $(new_name "${dead[0]}")" \
            "unset ${dead[*]}   or take it out of $file"
    fi
}

new_name() {
    case $1 in
        OMPI_MCA_rmaps_base_oversubscribe)
            echo "PRTE_MCA_rmaps_default_mapping_policy=slot:oversubscribe"
            ;;
        OMPI_MCA_plm_rsh_agent) echo "PRTE_MCA_plm_ssh_agent" ;;
        OMPI_MCA_oob_tcp_if_include) echo "PRTE_MCA_prte_if_include" ;;
        OMPI_MCA_btl_vader_single_copy_mechanism) echo "OMPI_MCA_smsc=^cma" ;;
        OMPI_MCA_orte_*) echo "PRTE_MCA_prte_${1#OMPI_MCA_orte_}" ;;
        OMPI_MCA_*) echo "PRTE_${1#OMPI_}" ;;
        PRTE_MCA_rmaps_default_mapping_policy) echo "OMPI_MCA_rmaps_base_oversubscribe=1" ;;
        PRTE_MCA_plm_ssh_agent) echo "OMPI_MCA_plm_rsh_agent" ;;
        PRTE_MCA_prte_if_include) echo "OMPI_MCA_oob_tcp_if_include" ;;
        PRTE_MCA_prte_*) echo "OMPI_MCA_orte_${1#PRTE_MCA_prte_}" ;;
        *) echo "OMPI_${1#PRTE_}" ;;
    esac
}

check_root() {
    local allow='OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1'
    if [ "$(id -u)" != 0 ]; then
        verdict ok "not root"
    elif [[ $family != openmpi || -n $OMPI_ALLOW_RUN_AS_ROOT$OMPI_ALLOW_RUN_AS_ROOT_CONFIRM ]]; then
        verdict ok "root, which mpirun accepts"
    else
        verdict note "root: plain mpirun refuses, jobs/launch does not" \
            "in a container all are root; elsewhere be an ordinary user" "export $allow"
    fi
}

# The parts that must belong together, for a sentence.
parts() {
    local mpicc library launcher
    launcher=$(readlink -f "$mpirun")
    [[ -z $host_file && $in_job = false ]] ||
        launcher=jobs/launch${LOCKSTEP_LAUNCHER:+ with $LOCKSTEP_LAUNCHER}
    mpicc=$(readlink -f "$(command -v "${MPICC:-mpicc}")")
    library=$(named_libraries "$probe" | grep -oE 'libmpi(ch)?\.so\.[0-9]+' | head -n 1)
    echo "built by $mpicc with $library, started by $launcher"
}

# Every rank alone, or a start that hangs or fails: the launcher and the library do not fit.
check_mixed() {
    local size alone
    run_probe
    if [ -z "$probe" ] || [[ -z $mpirun && $in_job = false ]]; then
        verdict skip "${no_probe:-there is no mpirun}"
        return
    fi
    size=$(field size "$(head -n 1 <<<"$rows")") alone=$(grep -c . <<<"$rows")
    if [[ $size = 1 && $alone -gt 1 ]]; then
        verdict FAIL "each of $alone ranks is alone: $(parts)" \
            "the launcher of one MPI started a program of another one, without a word" \
            "$(fitting_launcher)"
    elif [ "$probe_status" = 124 ] || [ "$probe_status" = 137 ]; then
        verdict FAIL "a program of $probed did not end within 30 s" \
            "a firewall, a VPN, or a virtual network that MPI took for a real one" \
            "$(hang_cure)"
    elif [ "$probe_status" != 0 ]; then
        verdict FAIL "a program of $probed ends with $probe_status: $(first_error)" \
            "$(parts)" "jobs/launch -n 2 p2p/hello"
    elif grep -q 'exchange=wrong' <<<"$rows"; then
        verdict FAIL "a megabyte did not arrive as it was sent" "$(parts)" \
            "mpirun --mca btl self,tcp ..."
    else
        verdict ok "$size ranks that know each other, $family $version"
    fi
}

# The programs that make has built, and the MPI that is here now: another module, perhaps.
check_built() {
    local build program mpi lacks dry_run=false
    find_build
    program=$build/mpi/p2p/hello
    [ -x "$program" ] || { verdict skip "no program of MPI is built in $build" && return; }
    lacks=$(found_libraries "$program" | awk '/=> not found/ { print $1 }' | paste -sd' ')
    mpi=$(mpi_of_program)
    if [ -n "$lacks" ]; then
        verdict FAIL "$program does not find $lacks" "it was built where that was loaded" \
            "module load the MPI that it was built with, or make clean && make"
    elif [[ -z $mpi || -z $family || $mpi = "$family" ]]; then
        verdict ok "the programs in $build are linked to ${mpi:-an MPI that I do not know}"
    elif (find_mpirun) 2>/dev/null; then
        verdict note "the programs in $build are linked to $mpi, mpirun is that of $family" \
            "by plain mpirun each rank is alone; jobs/launch takes the right one"
    else
        verdict FAIL "the programs in $build are linked to $mpi, mpirun is that of $family" \
            "the mpirun of $mpi is not in PATH" "module load $mpi   or make clean && make"
    fi
}

first_error() {
    grep -avE '^-*$|^#|Unable to find reachable pairing' "$scratch/errors" | head -n 1 | cut -c1-150
}

fitting_launcher() {
    local library
    if [[ -n $LOCKSTEP_LAUNCHER && $in_job = true ]]; then
        echo "unset LOCKSTEP_LAUNCHER"
        return
    fi
    library=$(named_libraries "$probe" | grep -oE 'libmpi(ch)?\.so\.[0-9]+' | head -n 1)
    case $library in
        libmpich* | libmpi.so.12) echo "mpiexec.mpich -n 2 ..., or module load the MPI of mpicc" ;;
        *) echo "mpirun.openmpi -n 2 ..., or module load the MPI of mpicc" ;;
    esac
}

hang_cure() {
    if [ "$nodes" -gt 1 ]; then
        echo "export OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0" \
            "PRTE_MCA_prte_if_include=eth0 FI_TCP_IFACE=eth0   with your network's name;" \
            "and let all TCP ports through"
    elif [ "$family.$major" = openmpi.4 ]; then
        echo "mpirun --mca btl self,vader --mca oob_tcp_if_include lo ..."
    elif [ "$family" = openmpi ]; then # PRRTE refuses lo, and needs no network on one node
        echo "mpirun --mca btl self,sm ..."
    else
        echo "FI_TCP_IFACE=lo mpiexec -iface lo ..."
    fi
}

check_level() {
    local names=(SINGLE FUNNELED SERIALIZED MULTIPLE) level
    run_probe
    [ -n "$rows" ] || { verdict skip "${no_probe:-no program of MPI runs here}" && return; }
    level=$(field level "$(head -n 1 <<<"$rows")")
    level=${level:-0}
    if [ "$level" = 3 ]; then
        verdict ok "MPI_THREAD_MULTIPLE"
    else
        verdict warn "MPI_THREAD_MULTIPLE was asked for, MPI_THREAD_${names[level]} was given" \
            "programs whose threads call MPI at the same time end with 77" \
            "jobs/launch stencil --variant funneled"
    fi
}

# Ranks that wait by polling, more of them than CPUs: each message costs a time slice.
check_yield() {
    local count cpus
    run_probe
    [ -n "$rows" ] || { verdict skip "${no_probe:-no program of MPI runs here}" && return; }
    count=${#granted[@]} cpus=$(count_cpus "${granted[@]}")
    if [ "$count" -le "$cpus" ]; then
        verdict ok "$cpus CPUs for $count ranks of a node"
    elif [[ $family != openmpi || -n $OMPI_MCA_mpi_yield_when_idle ]]; then
        verdict note "$count ranks on $cpus CPUs: times mean nothing"
    else
        verdict warn "$count ranks share $cpus CPUs, and who waits does not yield" \
            "a message then takes a millisecond instead of a microsecond" \
            "export OMPI_MCA_mpi_yield_when_idle=1 OMP_WAIT_POLICY=passive"
    fi
}
