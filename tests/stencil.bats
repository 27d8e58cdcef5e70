#!/usr/bin/env bats
# Checkpoints of the stencil: the same bits on any number of ranks, and whole whatever happens.

load wait

setup() {
    cd "$BATS_TEST_DIRNAME/.." || exit
    export LOCKSTEP_BUILD=${LOCKSTEP_BUILD:-build}
    [ -x "$LOCKSTEP_BUILD/hybrid/stencil/stencil" ] || skip "there is no MPI, hwloc or OpenMP here"
    file=$BATS_TEST_TMPDIR/field
}

stencil() { # stencil RANKS THREADS ARGS...
    limited jobs/launch -n "$1" -t "$2" stencil --n 61 --checkpoint "$file" "${@:3}"
}

# Without a launcher: mpirun takes two seconds to tell of a status that is not 0.
alone() { # alone ARGS...
    OMP_NUM_THREADS=1 limited "$LOCKSTEP_BUILD/hybrid/stencil/stencil" --n 61 \
        --checkpoint "$file" "$@"
}

# A copy of the program, by whose name its processes are found.
start_copy() { # start_copy RANKS ARGS...
    copy=$BATS_TEST_TMPDIR/stencil_copy
    cp "$LOCKSTEP_BUILD/hybrid/stencil/stencil" "$copy"
    limited jobs/launch -n "$1" -t 1 "$copy" "${@:2}" --checkpoint "$file" \
        >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    started=$!
    until_true test -s "$file" || { cat "$BATS_TEST_TMPDIR/out" && return 1; }
}

@test "a checkpoint of 4 ranks goes on on 1, 2 and 3 ranks, in every way, to the same bits" {
    local case ranks threads variant
    stencil 4 1 --field rough --steps 9
    cp "$file" "$file.9"
    stencil 4 1 --field rough --steps 20 --variant flat
    cp "$file" "$file.20"
    for case in "1 2 masteronly" "2 1 shared" "2 2 multiple" "3 2 tasks"; do
        read -r ranks threads variant <<<"$case"
        cp "$file.9" "$file"
        stencil "$ranks" "$threads" --field rough --steps 20 --restart --variant "$variant" |
            tee "$BATS_TEST_TMPDIR/out"
        grep -q '^# goes on from step 9' "$BATS_TEST_TMPDIR/out"
        cmp "$file" "$file.20"
    done
}

@test "what is no checkpoint, or not this one, or damaged, is refused in words and left as it is" {
    local case name words
    stencil 2 1 --field rough --steps 4
    cp "$file" "$file.whole"
    head -c 20000 "$file.whole" >"$file.cut"
    head -c 100 "$file.whole" >"$file.short"
    { cat "$file.whole" && echo; } >"$file.longer"
    cp hybrid/stencil/stencil.c "$file.foreign"
    : >"$file.empty"
    cp "$file.whole" "$file.header" && printf 'x' | dd of="$file.header" bs=1 seek=60 conv=notrunc
    cp "$file.whole" "$file.point" && printf 'x' | dd of="$file.point" bs=1 seek=9999 conv=notrunc
    for case in "cut:it was cut off" "short:not a checkpoint" "longer:it was cut off" \
        "foreign:not a checkpoint" "empty:not a checkpoint" "header:its header is damaged" \
        "point:its points are damaged"; do
        name=${case%%:*} words=${case#*:}
        cp "$file.$name" "$file"
        run alone --field rough --steps 8 --restart
        echo "$name: $output"
        [ "$status" = 2 ]
        [[ $output == *"$words"* ]]
        cmp "$file" "$file.$name"
    done
    cp "$file.whole" "$file"
    for case in "--steps 3:behind --steps 3" "--steps 8 --radius 3:--n 61 --radius 2" \
        "--steps 8 --n 60:--n 61 --radius 2" "--steps 8 --seed 1:--seed 0" \
        "--steps 8 --field linear:--field rough"; do
        words=${case#*:}
        # shellcheck disable=SC2086  # the words of the case
        run alone --field rough ${case%%:*} --restart
        echo "$case: $output"
        [ "$status" = 2 ]
        [[ $output == *"$words"* ]]
    done
    rm "$file"
    run alone --steps 8 --restart
    [ "$status" = 2 ]
    [[ $output == *"$file"* ]]
}

@test "who is killed while writing leaves a checkpoint that is whole" {
    local pause again
    for pause in 0.02 0.13; do
        start_copy 2 --n 1000 --steps 1000000 --checkpoint-every 1
        sleep "$pause"
        pkill -KILL -f "^$copy --n" || :
        wait "$started" || :
        touch -d "9 days ago" "$file.tmp.00000001.1.00000001" # of another node
        limited jobs/launch -n 3 -t 1 stencil --n 1000 --steps 1000000 --checkpoint "$file" \
            --restart >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
        again=$!
        until_true grep -q 'goes on from step' "$BATS_TEST_TMPDIR/out" || :
        cat "$BATS_TEST_TMPDIR/out"
        grep 'goes on from step' "$BATS_TEST_TMPDIR/out"
        grep 'removed [12] unfinished checkpoint' "$BATS_TEST_TMPDIR/out"
        ! compgen -G "$file.tmp.*" || return 1
        kill "$again" || :
        wait "$again" || :
        rm -f "$file"
    done
}

@test "a checkpoint follows no link, whatever its name is, and leaves nothing behind" {
    local name
    cd "$BATS_TEST_TMPDIR"
    for name in h a:b "x y" ./h; do
        echo precious >precious
        ln -sf precious h.tmp
        ln -sf precious "$name"
        "$OLDPWD/jobs/launch" -n 2 -t 1 stencil --n 61 --steps 4 --checkpoint "$name"
        "$OLDPWD/jobs/launch" -n 1 -t 1 stencil --n 61 --steps 6 --checkpoint "$name" --restart |
            grep '^# goes on from step 4'
        [ "$(cat precious)" = precious ]
        ! compgen -G "*.tmp.*" || return 1
    done
}

@test "a FIFO that nobody writes to is no checkpoint" {
    mkfifo "$file"
    run alone --steps 8 --restart
    echo "$output"
    [ "$status" = 2 ]
    [[ $output == *"$file"* ]]
}

@test "SIGUSR1 to one rank: all stop at one step, 75, and the rest follows after a restart" {
    local status=0 step
    start_copy 3 --n 400 --steps 100000000 --checkpoint-every 500 --variant shared
    kill -USR1 "$(pgrep -f "^$copy --n" | tail -n 1)"
    wait "$started" || status=$?
    cat "$BATS_TEST_TMPDIR/out"
    [ "$status" = 75 ]
    step=$(sed -n 's/^# stopped at step \([0-9]*\), saved in .*/\1/p' "$BATS_TEST_TMPDIR/out")
    grep -q '^PASS' "$BATS_TEST_TMPDIR/out"
    run limited jobs/launch -n 2 -t 2 stencil --n 400 --steps $((step + 7)) --restart \
        --checkpoint "$file"
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"goes on from step $step"* ]]
}

@test "a full disk is told, the run goes on, and the older checkpoint stays" {
    local disk=$BATS_TEST_TMPDIR/disk
    mkdir "$disk"
    mount -t tmpfs -o size=48k tmpfs "$disk" 2>/dev/null || skip "only root can make a small disk"
    file=$disk/field
    run stencil 3 1 --steps 4 --checkpoint-every 2
    ls -l "$disk"
    ! compgen -G "$file.tmp.*" || return 1
    cp "$file" "$BATS_TEST_TMPDIR/field" || :
    umount "$disk"
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *"No space left on device: no checkpoint at step 4"* ]]
    grep -q '^funneled .* yes$' <<<"$output" # the field is right all the same
    [[ $output != *PASS* ]]
    file=$BATS_TEST_TMPDIR/field
    run stencil 2 1 --steps 5 --restart
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *"goes on from step 2"* ]]
}

@test "the picture is the same on 1, 3 and 4 ranks" {
    local image=$BATS_TEST_TMPDIR/field.png ranks
    run jobs/launch -n 1 -t 1 stencil --n 70 --field rough --image "$image"
    [ "$status" != 77 ] || skip "this build has no libpng"
    [ "$status" = 0 ]
    mv "$image" "$image.1"
    for ranks in 3 4; do
        jobs/launch -n "$ranks" -t 1 stencil --n 70 --field rough --image "$image"
        cmp "$image" "$image.1"
    done
}
