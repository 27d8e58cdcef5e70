# shellcheck shell=bash
#
# build.bash - where the programs are, and how they get there; sourced by launch
#
# These functions read jobs and root (the folders of this tree) and end by fail(), launch's own.
# shellcheck disable=SC2034,SC2154

# Sets build: $LOCKSTEP_BUILD, else build/, else what `make install` made.
find_build() {
    local installed=$jobs/../../../libexec/lockstep
    build=${LOCKSTEP_BUILD:-build}
    [[ $build == /* ]] || build=$root/$build
    if [[ -z $LOCKSTEP_BUILD && ! -d $build && -d $installed ]]; then
        build=$(CDPATH='' cd "$installed" && pwd)
    fi
}

# Sets program, and layer for a program of ours.
find_program() {
    local name=$1 base=${1##*/} path found=() near=()
    for path in "$build"/{local,mpi,hybrid}/*/*; do
        [[ -f $path && -x $path && $path != */lib/* ]] || continue
        path=${path#"$build/"}
        if [[ /$path == */"$name" ]]; then
            found+=("$path")
        elif [[ ${path##*/} == "${base:0:3}"* ]]; then
            near+=("$path")
        fi
    done
    if [ ${#found[@]} = 1 ]; then
        program=$build/${found[0]} layer=${found[0]%%/*}
    elif [ ${#found[@]} -gt 1 ]; then
        fail "$name is the name of ${#found[@]} programs: write one of ${found[*]}"
    elif [[ $name == */* && -f $name && -x $name ]]; then
        program=$name
    elif [ ! -d "$build" ]; then
        fail "there is no $build: run make first"
    elif [ ${#near[@]} -gt 0 ]; then
        fail "no program is called $name: did you mean ${near[*]}?"
    else
        fail "no program is called $name: see \`make list\`, and run make if it is new"
    fi
}

# Sets settings to what makes the build directory of this name: build[-mpich][-clang][-asan] ...
settings_of() {
    local part
    settings=(MPI='' MODE='')
    for part in $(tr - ' ' <<<"${1#build}"); do
        case $part in
            clang) settings+=(CC=clang) ;;
            debug | asan | tsan) settings+=("MODE=$part") ;;
            *) settings+=("MPI=$part") ;;
        esac
    done
    [[ $1 == *-clang* || ${CC-} != *clang* ]] || settings+=(CC=gcc)
}

# Builds the program called $1, unless it is as new as what it is made of. An installed tree has no
# sources, and a build directory of another place is its owner's.
make_program() {
    local path found=() settings own=${build#"$root/"}
    for path in "$root"/{local,mpi,hybrid}/*/*.c; do
        path=${path#"$root/"} path=${path%.c}
        [[ /$path != */"$1" || $path == */lib/* ]] || found+=("$path")
    done
    [[ ${#found[@]} = 1 && -f $root/Makefile && $own =~ ^build(-[a-z-]+)?$ ]] || return 0
    path=${found[0]}
    settings_of "$own"
    need_tools find head mkdir
    mkdir -p "$build" || fail "$build cannot be made: name another one in LOCKSTEP_BUILD"
    # Tasks of an array begin together: one builds, the others wait for it, where there is flock.
    if ! {
        flock 9 2>/dev/null || :
        env -u MAKEFLAGS -u MAKELEVEL make -s -C "$root" "${settings[@]}" "$own/$path" >&2
    } 9>"$build/.making"; then
        [ -x "$build/$path" ] ||
            fail "$path cannot be built here, see above: run make where a compiler is"
        # Compute nodes often have no compiler: what is there may do, but never one that is old.
        path_is_new "$path" || fail "$path is older than its source, and cannot be built here:" \
            "run make where a compiler is"
        echo "# launch: make failed here, see above; $path is newer than all sources" >&2
    fi
}

# Whether the program is newer than every file that it could be made of.
path_is_new() {
    [ -z "$(find "$root"/{local,mpi,hybrid}/lib "$root/$1.c" "$root/Makefile" -newer "$build/$1" \
        \( -name '*.[ch]' -o -name Makefile \) -print 2>/dev/null | head -n 1)" ]
}
