# shellcheck shell=bash
#
# site.bash - reads the site file; sourced by launch, submit and doctor
#
#   read_site JOBS   reads $LOCKSTEP_SITE, else JOBS/site.sh if it is there, and exports what it
#                    sets; what the caller has set wins. Sets site_file (empty: there is none).
#                    Returns 1, with a sentence, where the file cannot be read.
#   site_from NAME   where the value of a variable is from: "environment", "site file PATH", or
#                    nothing if it is not set

# Those of Slurm, of MPI and its transports, of OpenMP, and ours. PATH and the like are left to the
# site file: `module load` is there to change them.
site_variables='LOCKSTEP_|SBATCH_|SALLOC_|SRUN_|SLURM_|OMP_|OMPI_|PRTE_|PMIX_|HYDRA_|MPICH_|MPIR_'
site_variables+='|I_MPI_|UCX_|FI_'

read_site() {
    local name variable saved=()
    site_file=${LOCKSTEP_SITE:-} site_known=' '
    if [ -z "$site_file" ]; then
        [ -f "$1/site.sh" ] || return 0
        site_file=$1/site.sh
    fi
    if ! [ -r "$site_file" ]; then
        echo "${0##*/}: $site_file cannot be read: mend LOCKSTEP_SITE" >&2
        return 1
    fi
    bash -n "$site_file" || {
        echo "${0##*/}: $site_file is no shell script that can be read: mend it" >&2
        return 1
    }
    for name in $(compgen -e | grep -E "^($site_variables)"); do
        saved+=("$name=${!name}") site_known+="$name "
    done
    # stdout belongs to the program: `module load` must not write there.
    set -a
    # shellcheck source=/dev/null
    . "$site_file" >&2
    set +a
    for variable in "${saved[@]}"; do
        export "${variable?}"
    done
}

site_from() {
    [ -n "${!1+set}" ] || return 0
    if [ -z "$site_file" ] || [[ $site_known == *" $1 "* ]]; then
        echo environment
    else
        echo "site file $site_file"
    fi
}
