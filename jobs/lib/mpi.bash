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

# The libraries that a program names itself, and those that the system's loader finds for it.
# Neither runs it, which ldd may do: it can be another's.
named_libraries() {
    { readelf -d "$1" || objdump -p "$1" || otool -L "$1"; } 2>/dev/null | grep -E 'lib|NEEDED'
}

found_libraries() {
    local loader
    for loader in "$(command -v ld.so)" /lib64/ld-linux*.so.* /lib64/ld64.so.* /lib/ld-linux*.so.* \
        /lib/ld-musl-*.so.1; do
        [ -x "$loader" ] || continue
        case $loader in
            *musl* | */ld.so) "$loader" --list "$1" ;;
            *) LD_TRACE_LOADED_OBJECTS=1 "$loader" "$1" ;; # --list stops at one that is missing
        esac 2>/dev/null && return
    done
}

# The MPI that the program was linked to, perhaps by one of its libraries. Intel's and Cray's are
# named as MPICH's.
mpi_of_program() {
    local is
    is=$(mpi_of_libraries "$(named_libraries "$program")")
    echo "${is:-$(mpi_of_libraries "$(found_libraries "$program")")}"
}

mpi_of_libraries() {
    case $1 in
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
    library=$(found_libraries "$program" | sed -n 's/.*libmpi\.so\.40 => \([^ ]*\).*/\1/p')
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
