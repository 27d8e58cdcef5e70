# shellcheck shell=bash
#
# slurm.bash - the doctor's checks of Slurm: is it there, does srun fit the MPI, what is refused?
# shellcheck disable=SC2154

# Whether a command of Slurm is here and a controller answers; asked once. Clients wait for minutes
# for one that is down.
slurm_answers() {
    command -v "$1" >/dev/null || return
    if [ -z "${slurm_state:-}" ]; then
        slurm_state=down
        if timeout 5 sinfo -h >/dev/null 2>&1; then slurm_state=up; fi
    fi
    [ $slurm_state = up ]
}

check_cluster() {
    if ! command -v sinfo >/dev/null; then
        verdict skip "there is no Slurm here"
    elif slurm_answers sinfo; then
        verdict ok "$(timeout 5 sinfo -ho '%R %D nodes of %c CPUs,' | paste -sd' ' | sed 's/,$//')"
    else
        verdict note "Slurm is installed, but no cluster answers: jobs/launch uses mpirun"
    fi
}

# What plain srun speaks, and what the MPI of mpicc wants to hear.
check_srun() {
    local list want default
    slurm_answers srun || { verdict skip "there is no Slurm here" && return; }
    case $family in
        openmpi) want=pmix ;;
        mpich | intel) want=pmi2 ;;
        *) verdict skip "which MPI is it? there is no mpirun to ask" && return ;;
    esac
    list=$(timeout 10 srun --mpi=list 2>&1)
    # 24.11 writes "(null)" where older ones write "none".
    default=$(timeout 5 scontrol show config 2>/dev/null | sed -n 's/^MpiDefault *= *//p')
    default=${default/#'(null)'/none}
    if [[ -n $SLURM_MPI_TYPE && $SLURM_MPI_TYPE != "$want"* ]]; then
        verdict FAIL "SLURM_MPI_TYPE=$SLURM_MPI_TYPE, but $family wants $want" \
            "srun starts N jobs of one rank, or fails" "export SLURM_MPI_TYPE=$want"
    elif [[ " ${list//[^a-z0-9_]/ } " != *" $want "* ]]; then
        verdict warn "srun --mpi=list has no $want, which $family wants" \
            "srun cannot start it; jobs/launch takes mpirun" "export LOCKSTEP_LAUNCHER=mpirun"
    elif [[ ${SLURM_MPI_TYPE:-$default} != "$want"* ]]; then
        verdict note "plain srun speaks ${default:-nothing}, $family wants $want" \
            "jobs/launch tells it so; by hand each rank is alone, or fails" \
            "srun --mpi=$want ...   or export SLURM_MPI_TYPE=$want"
    else
        verdict ok "srun speaks $want, as $family wants"
    fi
}

# In 22.05 a step does not take -c from its job: all tasks of a node share all its CPUs. In 24.11,
# which says SLURM_TRES_PER_TASK too, it does, whatever SRUN_CPUS_PER_TASK is.
check_cpus_per_task() {
    local job=$SLURM_CPUS_PER_TASK step=$SRUN_CPUS_PER_TASK
    $in_job || { verdict skip "not in a Slurm job" && return; }
    if [[ $SLURM_TRES_PER_TASK == *cpu[=:]* ]]; then
        verdict ok "CPUs of each task: ${job:-1}, as srun takes them from the job"
    elif [[ -n $step && -n $job && $step != "$job" ]]; then
        verdict FAIL "SLURM_CPUS_PER_TASK=$job, SRUN_CPUS_PER_TASK=$step" \
            "srun stops at two answers to one question" "export SRUN_CPUS_PER_TASK=$job"
    elif [[ ${job:-1} -gt 1 && -z $step ]]; then
        verdict warn "$job CPUs a task, but plain srun gives each task all CPUs of the node" \
            "ranks then run on each other's cores; jobs/launch says -c to srun" \
            "export SRUN_CPUS_PER_TASK=$job"
    else
        verdict ok "CPUs of each task: ${job:-1}"
    fi
}

# Would Slurm take a job of one task, with the account and the partition that are set?
check_account() {
    local said mine
    slurm_answers sbatch || { verdict skip "there is no Slurm here" && return; }
    if said=$(timeout 20 env -u SLURM_JOB_ID sbatch --test-only -N1 -n1 "$jobs/hello.sh" 2>&1); then
        verdict ok "Slurm would take a job"
        return
    fi
    said=$(grep -m 1 -oE '(invalid|Invalid|Unable|error:) .*' <<<"$said" | sed 's/^error: //')
    case ${said,,} in
        *account*)
            mine=$(timeout 5 sacctmgr -nP show assoc user="$(id -un)" format=account 2>/dev/null |
                sort -u | paste -sd' ')
            verdict FAIL "Slurm refuses a job: $said" "yours: ${mine:-unknown}" \
                "export SBATCH_ACCOUNT=...   in jobs/site.sh"
            ;;
        *)
            verdict FAIL "Slurm refuses a job: $said" \
                "partitions here: $(timeout 5 sinfo -ho %R | sort -u | paste -sd' ')" \
                "export SBATCH_PARTITION=...   in jobs/site.sh"
            ;;
    esac
}

# What Slurm reads wrongly, or not at all, in the job scripts of this tree and of this directory.
check_script() {
    local file name bad=0 count=0 late dollar folder
    for file in "$jobs"/*.sh ./*.sh; do
        name=$(printf %q "$file")
        grep -q '^#SBATCH' "$file" 2>/dev/null || continue
        count=$((count + 1))
        late=$(awk '/^#SBATCH/ && late { print FNR; exit } !/^#/ && NF { late = 1 }' "$file")
        dollar=$(grep -n -m 1 '^#SBATCH.*[$]' "$file")
        folder=$(sed -nE 's/^#SBATCH +(-o|--output)[ =]+([^ ]*)\/[^\/ ]*.*/\2/p' "$file" |
            head -n 1)
        if grep -q $'\r' "$file"; then
            verdict FAIL "$file has DOS line ends" "sbatch refuses it" "sed -i 's/\\r\$//' $name"
        elif [ -n "$late" ]; then
            verdict FAIL "$file, line $late: #SBATCH after the first command" \
                "sbatch ignores it without a word" "move it up"
        elif [ -n "$dollar" ]; then
            verdict FAIL "$file, line ${dollar%%:*}: a variable in an #SBATCH line" \
                "it is not expanded" "sbatch --option=\"\$VARIABLE\" $name"
        elif [[ -n $folder && $folder != *%* && ! -d $folder ]]; then
            verdict FAIL "$file: there is no directory $folder for its output" \
                "the job fails, and nothing is written" "mkdir -p $(printf %q "$folder")"
        else
            continue
        fi
        bad=$((bad + 1))
    done
    [ $bad != 0 ] || verdict ok "$count job scripts that Slurm reads as they are meant"
}
