# shellcheck shell=bash
#
# size.bash - how many ranks, nodes and threads, and what the machine has; sourced by launch
#
# It knows of three machines: a Slurm job, hosts that a file names, and this one alone. It reads the
# options of launch, and ends by its fail().
# shellcheck disable=SC2034,SC2154

# Slurm writes a number for each node as "8(x3),4": this adds them up to 28. The door has let in
# numbers alone; 10# because 08 is eight.
add_up() {
    local part sum=0
    for part in ${1//,/ }; do
        [[ $part =~ ^([0-9]+)(\(x([0-9]+)\))?$ ]] &&
            sum=$((sum + 10#${BASH_REMATCH[1]} * 10#${BASH_REMATCH[3]:-1}))
    done
    echo "$sum"
}

# In a heterogeneous job SLURM_X speaks of the first component, SLURM_X_HET_GROUP_i of each.
slurm_list() {
    local i name list=
    name=SLURM_$1
    for ((i = 0; i < ${SLURM_HET_SIZE:-0}; i++)); do
        name=SLURM_$1_HET_GROUP_$i
        list+=${!name},
    done
    echo "${list:-${!name}}"
}

# All tasks of the job. Of the components Slurm 24.11 does not tell NTASKS any more.
tasks_of_job() {
    if [ -n "$SLURM_HET_SIZE" ]; then
        add_up "$(slurm_list TASKS_PER_NODE)"
    else
        add_up "$SLURM_NTASKS"
    fi
}

# The first node's, which is this one; 0 outside a job.
tasks_here() { add_up "${SLURM_TASKS_PER_NODE%%[(,]*}"; }

# Sets hosts (NAME:SLOTS,...) and slots from $option_hosts, and nodes if -N takes only the first
# ones.
read_hosts() {
    local i host_names host_slots list=()
    read_host_file "$option_hosts"
    nodes=$option_nodes slots=0
    [ "${nodes:-0}" -le ${#host_names[@]} ] ||
        fail "-N $nodes: --hosts $option_hosts names ${#host_names[@]}:" \
            "give fewer nodes, or more hosts"
    host_count=${nodes:-${#host_names[@]}}
    for ((i = 0; i < host_count; i++)); do
        list+=("${host_names[i]}:${host_slots[i]}")
        slots=$((slots + host_slots[i]))
    done
    hosts=$(IFS=, && echo "${list[*]}")
    # MAX_ARG_STRLEN of Linux: a longer word cannot be handed to any launcher.
    [ ${#hosts} -lt 131072 ] ||
        fail "--hosts $option_hosts: $host_count hosts make a word of ${#hosts} characters," \
            "of which the system takes 131071: give fewer by -N"
}

# Sets nodes where -N or --hosts says how many; else it stays empty, and the launcher decides.
count_nodes() {
    if [ -n "$option_hosts" ]; then
        read_hosts
    elif [ -n "$option_nodes" ]; then
        nodes=$option_nodes
        if $in_slurm; then
            [ "$nodes" -le "${SLURM_JOB_NUM_NODES:-$nodes}" ] ||
                fail "-N $nodes: this job has $SLURM_JOB_NUM_NODES nodes: ask sbatch for more"
        elif [ "$nodes" != 1 ]; then
            fail "-N $nodes: outside a Slurm job there is only this node: name more by --hosts FILE"
        fi
    fi
}

# Sets ranks and ranks_from, and nodes and per_node where either is told.
count_ranks() {
    local tasks
    tasks=$(tasks_of_job)
    per_node=$option_per_node
    count_nodes
    if [ -n "$option_n" ]; then
        ranks=$option_n ranks_from=-n
    elif [ -n "$hosts" ] && [ -z "$per_node" ]; then
        ranks=$slots ranks_from="the slots of $option_hosts"
    elif [ -n "$nodes$per_node" ]; then
        per_node=${per_node:-$(tasks_here)}
        [ "$per_node" != 0 ] || per_node=1
        nodes=${nodes:-${host_count:-${SLURM_JOB_NUM_NODES:-1}}}
        ranks=$((nodes * per_node)) ranks_from="$per_node on each of $nodes nodes"
    elif [ "$tasks" != 0 ]; then
        ranks=$tasks ranks_from="the tasks of job $SLURM_JOB_ID"
    else
        ranks=2 ranks_from='nothing is said'
    fi
    is_count "$ranks" ||
        fail "$ranks ranks, from $ranks_from: more than 9999999 cannot be started: give fewer by -n"
    if [ -n "$nodes$per_node" ]; then
        nodes=${nodes:-$(((ranks + per_node - 1) / per_node))}
        per_node=${per_node:-$(((ranks + nodes - 1) / nodes))}
        [ "$ranks" -le $((nodes * per_node)) ] ||
            fail "-n $ranks: $nodes nodes of $per_node ranks have room for $((nodes * per_node)):" \
                "leave out -n, or give more of them"
    fi
}

# Sets threads and threads_from.
count_threads() {
    threads=1 threads_from='nothing is said'
    if [ -n "$option_t" ]; then
        threads=$option_t threads_from=-t
    elif [ -n "$OMP_NUM_THREADS" ]; then
        threads=${OMP_NUM_THREADS%%,*} # a list is for nested regions
        threads=$((10#${threads// /}))
        threads_from="OMP_NUM_THREADS, $(site_from OMP_NUM_THREADS)"
    elif [ -n "$SLURM_CPUS_PER_TASK" ]; then
        threads=$SLURM_CPUS_PER_TASK threads_from="the CPUs per task of job $SLURM_JOB_ID"
    fi
    is_count "$threads" || threads=1
}

# Sets what the choice of words needs to know; 0 where it cannot be known:
#   cpus        all that the ranks may use
#   slots       ranks that mpirun takes without being told that more are wanted
#   ranks_here  ranks on this node
#   cores_here  cores on this node to which mpirun may bind them
look_around() {
    local without=(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT) # nproc obeys these two
    ranks_here=${per_node:-$ranks}
    if [ -n "$hosts" ]; then # read_hosts has set slots; their cores cannot be seen from here
        cpus=0 cores_here=0
        return
    fi
    cpus=$("${without[@]}" nproc || getconf _NPROCESSORS_ONLN)
    cores_here=$(($(lscpu -p=core | grep -v '^#' | sort -u | wc -l)))
    # mpirun counts and binds from core 0 of the whole machine, whatever part of it was granted.
    [ "$cpus" = "$("${without[@]}" nproc --all)" ] || cores_here=0
    slots=$cores_here
    if $in_slurm; then
        cpus=$(add_up "$(slurm_list JOB_CPUS_PER_NODE)")
        slots=$(tasks_of_job)
        ranks_here=${per_node:-$(tasks_here)}
        [ "$ranks" -le "$slots" ] || cores_here=0
    elif [ -n "$OMPI_MCA_orte_default_hostfile$PRTE_MCA_prte_default_hostfile$HYDRA_HOST_FILE" ] ||
        [ -n "$PBS_NODEFILE$LSB_DJOB_HOSTFILE" ]; then
        cpus=0 slots=0 cores_here=0
    fi
} 2>/dev/null

# The CPUs of a list such as 0-2,8, one by one: 0,1,2,8.
each_cpu() {
    local part cpus
    for part in ${1//,/ }; do
        cpus+=$(seq -s , "${part%-*}" "${part#*-}"),
    done
    echo "${cpus%,}"
}

# Sets places: of each rank of a node its cores, as OMP_PLACES has them, by the plan for this node.
plan_places() {
    local granted rank cpus last='' # what affinity says of its plan is not asked for here
    [ -x "$build/hybrid/pin/affinity" ] ||
        fail "--place needs $build/hybrid/pin/affinity, which is not there: run make, it says why"
    granted=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status 2>/dev/null)
    while read -r rank cpus; do
        [[ -z $last ]] || places+=$([ "$rank" = "$last" ] && echo , || echo ';')
        places+="{$(each_cpu "$cpus")}" last=$rank
    done < <(env -u LOCKSTEP_RANKS "$build/hybrid/pin/affinity" --plan --place "$option_place" \
        --ranks "$ranks_here" --threads "$threads" ${granted:+--granted "$granted"} \
        --format json 2>/dev/null |
        sed -n 's/.*"rank":\([0-9]*\),.*"bound_os":"\([^"]*\)".*/\1 \2/p')
    [ -n "$places" ] ||
        fail "--place $option_place: there is no plan for this node: affinity --plan says why"
}
