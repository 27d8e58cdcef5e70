# Sourced by tests that change the tree: copy_tree DIR makes a copy without what was built, and
# goes there. It is a git checkout of one commit, so that a test can ask what changed.
copy_tree() {
    mkdir -p "$1"
    tar -c --exclude='./build*' --exclude=./.git . | tar -x -C "$1"
    cd "$1" || return
    git init -q .
    git add -A
    git -c user.name=test -c user.email=test@example.org commit -qm copy
}
