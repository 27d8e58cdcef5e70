# shellcheck shell=bash
#
# mpi.bash - which MPI a program and a launcher belong to; sourced by launch
#
# Two MPIs on one machine are the rule on clusters. The launcher of one starts a program of the
# other without a word, as N jobs of one rank. It reads program, mpi and dry_run, which launch sets.
# shellcheck disable=SC2034,SC2154

# The MPI that a launcher belongs to, by what it says of itself.
mpi_of_launcher() {
    case $("$1" --version 2>&1 </dev/null) in
        *"Open MPI"* | *OpenRTE*) echo openmpi ;; # Debian's mpirun.openmpi calls itself OpenRTE
        *"Intel(R) MPI Library"*) echo intel ;;
        *HYDRA*) echo mpich ;;
    esac
}

# The MPI that the program was linked to. Intel's and Cray's libraries are named as MPICH's.
mpi_of_program() {
    case $({ ldd "$program" || otool -L "$program"; } 2>/dev/null) in
        *libmpi.so.[2-9]* | *libmpi.[2-9]*.dylib*) echo openmpi ;;
        *libmpich.so* | *libmpich.*dylib*) echo mpich ;;
        *libmpi.so.1* | *libmpi_*.so.1* | *libmpi.1*.dylib*)
            if [ "$(mpi_of_launcher mpirun)" = intel ]; then echo intel; else echo mpich; fi
            ;;
    esac
}

# Whether TCP should keep to IPv4. On hosts with addresses of both kinds every rank of Open MPI 5.0
# says "Unable to find reachable pairing" before anything else; it means nothing.
wants_ipv4() {
    local library
    [ -z "$OMPI_MCA_btl_tcp_disable_family$OMPI_MCA_btl" ] || return 1 # the user knows
    library=$(ldd "$program" 2>/dev/null | sed -n 's/.*libmpi\.so\.40 => \([^ ]*\).*/\1/p')
    [[ $(readlink -f "$library") == *.so.40.[4-9]* ]] || return 1 # 4.1 is .so.40.30
    ! command -v ip >/dev/null || [ -n "$(ip -o -4 address show scope global 2>/dev/null)" ]
}

# Sets launcher to the first mpirun in PATH whose MPI is the program's. Within a directory the name
# with the MPI in it goes first: where two MPIs live side by side the plain one may be either.
find_mpirun() {
    local stem=mpirun dirs dir name is other=
    [ "$mpi" != mpich ] || stem=mpiexec
    [ -z "$LOCKSTEP_LAUNCHER" ] || stem=$LOCKSTEP_LAUNCHER # it says mpirun or mpiexec
    IFS=: read -ra dirs <<<"$PATH"
    for dir in "${dirs[@]}"; do
        for name in "$stem.$mpi" "$stem" mpiexec.hydra mpirun mpiexec; do
            [ -x "$dir/$name" ] || continue
            is=$(mpi_of_launcher "$dir/$name")
            if [[ -n $is && ($mpi == unknown || $is == "$mpi") ]]; then
                mpi=$is launcher=$name
                [ "$(command -v "$name")" = "$dir/$name" ] || launcher=$dir/$name
                return
            fi
            other=${other:-"$name is the launcher of ${is:-an MPI unknown to this script}"}
        done
    done
    [ -z "$other" ] || fail "$program is linked to $mpi, but $other:" \
        "put the mpirun of $mpi first in PATH, or rebuild with the other MPI"
    $dry_run || fail "there is no mpirun or mpiexec in PATH: load its module, or run make deps"
    launcher=$stem
}

# The --mpi=TYPE that joins srun and the program's MPI into one job; nothing where srun has none.
# Without the right one each rank is alone, and srun's default differs from site to site.
srun_type() {
    local want list
    case $mpi${I_MPI_PMI_LIBRARY:+pmi} in # Intel's library looks for srun only if this is set
        openmpi*) want=pmix ;;
        mpich* | intelpmi) want=pmi2 ;;
        *) return ;;
    esac
    list=$(timeout 10 srun --mpi=list 2>&1) # older versions answer on stderr
    [[ " ${list//[^a-z0-9_]/ } " != *" $want "* ]] || echo "$want"
}
