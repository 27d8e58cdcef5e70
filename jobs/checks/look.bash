# shellcheck shell=bash
#
# look.bash - what jobs/doctor looks at once, for several checks
#
# The checks read what is set here: mpirun (its path, or empty), family (openmpi, mpich, intel),
# major (version), cc (a compiler, or empty), cores (of this node), ranks (that are wanted here),
# nodes (of the job, or hosts), in_job, in_step, probe (the program, or empty: then why not is in
# no_probe), probed (how many ranks it was to have), rows (what each of them said) and granted (the
# CPUs of each rank of the first node).
# shellcheck disable=SC2034,SC2154

look_around() {
    local wrong
    take_environment
    for wrong in "${wrong_settings[@]}"; do # it is unset from here on
        check=settings verdict FAIL "$wrong" "jobs/launch refuses it, mpirun and srun may not" \
            "unset ${wrong%%=*}   or set it right"
    done
    in_job=false in_step=false nodes=1
    if [ -n "$host_file" ]; then
        nodes=${#host_names[@]}
    elif [ -n "$SLURM_JOB_ID" ]; then
        in_job=true nodes=${SLURM_JOB_NUM_NODES:-1}
        [ -z "$SLURM_STEP_ID" ] || in_step=true
    fi
    mpirun=$(command -v mpirun || command -v mpiexec)
    family='' version=0
    if [ -n "$mpirun" ]; then
        family=$(mpi_of_launcher "$mpirun")
        version=$("$mpirun" --version 2>&1 </dev/null | grep -oE '[0-9]+\.[0-9.]+' | head -n 1)
    fi
    major=${version%%.*}
    cc=$(command -v "${MPICC:-mpicc}" || command -v "${CC:-cc}")
    cores=$(lscpu -p=core 2>/dev/null | grep -v '^#' | sort -u | wc -l)
    [ "$cores" -gt 0 ] || cores=$(getconf _NPROCESSORS_ONLN)
    ranks=${SLURM_TASKS_PER_NODE%%[(,]*}
    ranks=$((10#${wanted:-${ranks:-2}}))
}

# on_host NAME LINE: the line of shell on another host, as mpirun would start it there.
on_host() {
    local agent
    read -ra agent <<<"${OMPI_MCA_plm_rsh_agent:-${PRTE_MCA_plm_ssh_agent:-ssh}}"
    [ "${agent[0]##*/}" != ssh ] || agent+=(-o BatchMode=yes -o ConnectTimeout=5)
    timeout 30 "${agent[@]}" "$1" "$2"
}

# Sets scratch and probe. On several nodes the program must lie where all of them see it.
build_probe() {
    local place=${TMPDIR:-/tmp} mpicc=${MPICC:-mpicc} said
    probe='' no_probe='' rows='' probe_status=0
    [ "$nodes" = 1 ] || place=$PWD
    [ -d "$place" ] && [ -w "$place" ] || place=/tmp
    scratch=$(mktemp -d "$place/doctor.XXXXXX") || fail "$place takes no directory: set TMPDIR"
    is_wanted mixed level yield binding sharing cma || return 0
    if $in_step; then
        no_probe="within srun no other program can be started: use sbatch or salloc"
    elif ! command -v "$mpicc" >/dev/null; then
        no_probe="there is no mpicc"
    elif said=$(timeout 60 "$mpicc" -fopenmp -O1 -o "$scratch/probe" "$jobs/checks/probe.c" 2>&1) ||
        said=$(timeout 60 "$mpicc" -O1 -o "$scratch/probe" "$jobs/checks/probe.c" 2>&1); then
        probe=$scratch/probe
    else
        no_probe="mpicc does not build a program: $(grep -m 1 -i error <<<"$said")"
    fi
}

# Sets rows and probe_status: by jobs/launch in a job and over hosts, by the plain mpirun of PATH
# otherwise, as a user would. Runs once.
run_probe() {
    [[ -n $probe && -z $rows && $probe_status = 0 ]] || return 0
    local command=("$mpirun" -n 2)
    probed='2 ranks'
    if [ -n "$host_file" ]; then
        command=("$jobs/launch" --hosts "$host_file" -N "$nodes" --ranks-per-node 2)
        probed="$((2 * nodes)) ranks on $nodes hosts"
    elif $in_job; then
        command=("$jobs/launch")
        probed="$SLURM_NTASKS ranks"
    elif [ -z "$mpirun" ]; then
        no_probe="there is no mpirun"
        return
    elif [ "$family" = openmpi ]; then
        command=(env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "${command[@]}")
        [ "$cores" -gt 1 ] || command+=(--map-by slot:OVERSUBSCRIBE)
    fi
    rows=$(timeout -k 2 30 "${command[@]}" "$probe" </dev/null 2>"$scratch/errors") ||
        probe_status=$?
    # What else a launcher prints may be anything: the checks compute with these.
    local form='^rank=[0-9]{1,7} size=[0-9]{1,7} host=[^ ]+( level=[0-9])?( count=[0-9]{1,7})?'
    form+='( granted=[0-9,-]*)?( threads=[0-9,;-]*)?( exchange=(right|wrong))?$'
    rows=$(grep -aE "$form" <<<"$rows" | sort -t= -k2n)
    local row first
    first=$(field host "$(head -n 1 <<<"$rows")") granted=()
    while read -r row; do
        [ "$(field host "$row")" != "$first" ] || granted+=("$(field granted "$row")")
    done <<<"$rows"
}

# field NAME ROW
field() {
    [[ " $2 " =~ \ $1=([^ ]*)\  ]] && echo "${BASH_REMATCH[1]}"
}

# Of a list such as 0-3,8: its CPUs, one a line.
each_cpu() {
    local part
    for part in ${1//,/ }; do seq "${part%-*}" "${part#*-}"; done
}

# How many different CPUs there are in all of these lists.
count_cpus() {
    local list
    for list; do each_cpu "$list"; done | sort -u | wc -l
}
