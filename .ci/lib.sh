# Shared by ./run and ./check: packages and the build. Sourced, never run.

# say TEXT: progress goes to stderr; stdout belongs to the program.
say() { printf 'moxie: %s\n' "$*" >&2; }

# missing_packages KIND...: names of packages of these kinds that are not installed.
missing_packages() {
    local kind name wanted
    wanted=" $* "
    while read -r kind name; do
        case "$kind" in '' | '#'*) continue ;; esac
        case "$wanted" in *" $kind "*) ;; *) continue ;; esac
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done <.ci/packages
}

# install_packages KIND...: installs what is missing; needs root or sudo only then.
install_packages() {
    local missing as_root=
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || {
        say "these packages are missing and this is no Debian: $(echo $missing)"
        return 1
    }
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "run as root, or install sudo, or install these packages yourself: $(echo $missing)"
            return 1
        }
        as_root=sudo
    fi
    say "installing $(echo "$missing" | wc -l) packages"
    $as_root apt-get update -q >&2 &&
        # shellcheck disable=SC2086
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
}

# What ccache needs to know of precompiled headers.
export CCACHE_SLOPPINESS=pch_defines,time_macros

# configure DIR CMAKE-OPTIONS...: debug information for backtraces only, which saves a quarter of the
# compile time.
configure() {
    local dir=$1
    shift
    local launcher=()
    command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    cmake -S . -B "$dir" -G Ninja "${launcher[@]}" \
        "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG" "$@" >&2
}
