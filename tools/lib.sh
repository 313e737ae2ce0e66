# What the shell scripts share: where the tree is, how a line to a person looks, root, the hash of files.
# shellcheck shell=bash disable=SC2034

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lotline
duckdb_dir=$cache/duckdb-1.4.4
jobs=$(nproc 2>/dev/null || echo 2)

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "needs root for: $* (run as root, or install sudo)"
    fi
}

# One hash over the names and contents of the files on standard input, a name a line.
hash_files() {
    tr '\n' '\0' | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}

# Runs a command with CC and CXX set to a compiler, through ccache (meson adds it only to its default).
with_compiler() { # gcc|clang-14 command...
    local cc=$1 cxx
    shift
    case $cc in
    gcc*) cxx=${cc/gcc/g++} ;;
    *) cxx=${cc/clang/clang++} ;;
    esac
    CC="ccache $cc" CXX="ccache $cxx" "$@"
}

# The program looks for libduckdb.so in lib/ beside itself.
link_duckdb() { # build-folder
    mkdir -p "$1/lib"
    ln -sfn "$duckdb_dir/lib/libduckdb.so" "$1/lib/libduckdb.so"
}

# The tree's files (tracked, or new and not ignored) that match the patterns, one a line.
tree_files() { # pattern...
    git -C "$top" ls-files --cached --others --exclude-standard -- "$@" | sort -u |
        while IFS= read -r file; do
            [ ! -f "$top/$file" ] || say "$file"
        done
}
